// Objects of fields by threshold, distance and flooding: segmentation/field_watershed.py. Three kernels
// with the host in between, which finds the objects' typical diameter; a block has a field, and each
// field keeps its own scratch from one kernel to the next.

// What a field has of scratch. A histogram lies where the queue and what follows will be.
struct Field {
    double* plane;
    union {
        double* values;
        int* seeds_of;
    };
    double* sums;
    Item* heap;
    int* parent;
    int* size;
    int* square;
    int* other;
    u8* mask;

    __device__ Field(char* scratch, i64 largest) {
        plane = (double*)scratch;
        values = plane + largest;
        sums = values + largest;
        heap = (Item*)(sums + largest / 4 + 64);
        parent = (int*)(heap + largest);
        size = parent + largest;
        square = size + largest;
        other = square + largest;
        mask = (u8*)(other + largest);
    }
};

// Square of the distance of each pixel of a mask to the nearest outside it; of the sum of the sides
// where there is none. `down` is scratch: the distance along the column.
__device__ void distance_squares(const u8* mask, int height, int width, int* down, int* square) {
    const int far = height + width;
    for (int x = threadIdx.x; x < width; x += blockDim.x) {
        int away = far;
        for (int p = x; p < height * width; p += width) {
            away = mask[p] ? Smaller()(away + 1, far) : 0;
            down[p] = away;
        }
        away = far;
        for (int p = (height - 1) * width + x; p >= 0; p -= width) {
            away = mask[p] ? Smaller()(away + 1, far) : 0;
            down[p] = Smaller()(down[p], away);
        }
    }
    __syncthreads();
    for (int p = threadIdx.x; p < height * width; p += blockDim.x) {
        const int x = p % width;
        int best = down[p] * down[p];
        for (int k = 1; k * k < best && (k <= x || x + k < width); k++) {
            if (k <= x) best = Smaller()(best, k * k + down[p - k] * down[p - k]);
            if (x + k < width) best = Smaller()(best, k * k + down[p + k] * down[p + k]);
        }
        square[p] = best;
    }
    __syncthreads();
}

// numbers: kind of threshold, its value if that is given. weights: half a kernel, of starts[1] weights.
// Writes for each field 6 numbers: whether it is left to the CPU; components; and of the largest
// squares of their distances, in ascending order, both in the middle, which are the same one if the
// number of components is odd.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) find_parts(
    const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, const i64* starts,
    const double* weights, int* labels, i64* facts, char* scratch, i64 scratch_bytes, i64 largest
) {
    const int kind = (int)numbers[0], radius = (int)starts[1] - 1;
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width, n = height * width;
        const Field own(scratch + i * scratch_bytes, largest);
        i64* found = facts + 6 * i;
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            own.plane[p] = (double)pixels[plane.at + p];
        }
        __syncthreads();
        if (radius > 0) gaussian(own.plane, own.values, height, width, weights, radius, Mirrored());
        const Range range = range_of(own.plane, n);
        double threshold = numbers[1];
        bool left = !range.finite;
        if (!left && kind != FIXED) {
            Histogram h = histogram_at((char*)own.heap, COARSE);
            count_pixels(own.plane, n, range.low, range.high, false, 0, &h);
            const bool whole = !FLOATING && radius == 0;
            // Nothing stands out: the pixels are equal but for rounding, or their range overflows.
            threshold = range.high;
            if (h.bins && kind == LI) {
                left = !li_threshold(own.plane, n, whole, own.values, own.sums, &threshold);
            } else if (h.bins) {
                threshold = kind == OTSU ? otsu_of_counts(h, n) : triangle_of_counts(h);
            }
        }
        if (threadIdx.x == 0) {
            found[0] = left;
            found[1] = 0;
        }
        if (left) continue;
        above(own.plane, n, threshold, own.mask);
        fill_holes(own.mask, height, width, own.parent, own.size);
        label(own.mask, height, width, 1, false, own.parent);
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            own.parent[p] = find_root(own.parent, p);
        }
        __syncthreads();
        sum_up(own.mask, height, width, 1, own.parent, own.size, One());
        distance_squares(own.mask, height, width, own.other, own.square);
        int* thickest = own.other;
        for (int p = threadIdx.x; p < n; p += blockDim.x) thickest[p] = 0;
        __syncthreads();
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            if (own.mask[p]) atomicMax(&thickest[own.parent[p]], own.square[p]);
        }
        __syncthreads();
        // One of each component, side by side.
        unsigned int* each = (unsigned int*)own.values;
        const Share share(n);
        i64 parts = 0;
        for (int p = share.first; p < share.last; p++) parts += thickest[p] > 0;
        int place = (int)sum_before(parts);
        for (int p = share.first; p < share.last; p++) {
            if (thickest[p] > 0) each[place++] = thickest[p];
        }
        parts = reduce(parts, Sum());
        if (parts == 0) continue;
        const u64 lower = select_key(each, parts, (parts - 1) / 2);
        const u64 upper = select_key(each, parts, parts / 2);
        if (threadIdx.x == 0) {
            found[1] = parts;
            found[2] = (i64)lower;
            found[3] = (i64)upper;
        }
    }
}

// Whether no pixel of the component within a square comes before this one.
__device__ bool leads(
    const double* depth, const int* parent, int height, int width, int y, int x, int reach
) {
    const int p = y * width + x;
    const int top = y > reach ? y - reach : 0, bottom = y + reach < height ? y + reach : height - 1;
    const int left = x > reach ? x - reach : 0, right = x + reach < width ? x + reach : width - 1;
    for (int v = top; v <= bottom; v++) {
        for (int q = v * width + left; q <= v * width + right; q++) {
            if (parent[q] != parent[p]) continue;
            if (depth[q] > depth[p] || (depth[q] == depth[p] && q < p)) return false;
        }
    }
    return true;
}

// numbers: of each field the least pixels of a component and half the side of a seed's square. starts,
// weights: half a kernel of each field. Writes labels, but for components of several seeds: of these
// markers only, and to numbers 4 and 5 of a field's how many there are and how many seeds.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) place_seeds(
    const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, const i64* starts,
    const double* weights, int* labels, i64* facts, char* scratch, i64 scratch_bytes, i64 largest
) {
    for (i64 i = blockIdx.x; i < count; i += gridDim.x) {
        i64* found = facts + 6 * i;
        if (threadIdx.x == 0) found[4] = found[5] = 0;
        if (found[0]) continue;
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width, n = height * width;
        const Field own(scratch + i * scratch_bytes, largest);
        int* labelled = labels + plane.packed;
        const double least = numbers[2 * i];
        const int apart = (int)numbers[2 * i + 1], radius = (int)(starts[i + 1] - starts[i]) - 1;
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            own.mask[p] = own.mask[p] && own.size[own.parent[p]] >= least;
            own.plane[p] = own.mask[p] ? sqrt((double)own.square[p]) : 0.0;
        }
        __syncthreads();
        if (radius > 0) {
            gaussian(
                own.plane, own.values, height, width, weights + starts[i], radius, Mirrored()
            );
        }
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            const int y = p / width, x = p - y * width;
            labelled[p] = own.mask[p] && leads(own.plane, own.parent, height, width, y, x, 1)
                && leads(own.plane, own.parent, height, width, y, x, apart);
        }
        // Squares and columns are done with.
        int* seeds = own.square;
        int* number = own.other;
        int* seeds_of = own.seeds_of;
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            number[p] = 0;
            seeds_of[p] = 0;
        }
        __syncthreads();
        const Share share(n);
        i64 mine = 0;
        for (int p = share.first; p < share.last; p++) mine += labelled[p];
        int place = (int)sum_before(mine);
        for (int p = share.first; p < share.last; p++) {
            if (!labelled[p]) continue;
            seeds[place] = p;
            labelled[p] = ++place;
            number[own.parent[p]] = place;
            atomicAdd(&seeds_of[own.parent[p]], 1);
        }
        mine = reduce(mine, Sum());
        for (int p = threadIdx.x; p < n; p += blockDim.x) {
            own.plane[p] = -own.plane[p];
            if (own.mask[p] && seeds_of[own.parent[p]] == 1) labelled[p] = number[own.parent[p]];
        }
        __syncthreads();
        // Components of several seeds, and where each has its part of the queue.
        int* shared = own.other;
        int* queue = own.seeds_of + n;
        i64 several = 0, waiting = 0;
        for (int p = share.first; p < share.last; p++) {
            several += seeds_of[p] > 1;
            waiting += seeds_of[p] > 1 ? own.size[p] : 0;
        }
        int at = (int)sum_before(several), from = (int)sum_before(waiting);
        for (int p = share.first; p < share.last; p++) {
            if (seeds_of[p] <= 1) continue;
            shared[at] = p;
            queue[at++] = from;
            from += own.size[p];
        }
        several = reduce(several, Sum());
        if (threadIdx.x == 0) {
            found[4] = several;
            found[5] = mine;
        }
    }
}

// Grow the seeds of components that have several, each component by one thread as if it were alone.
extern "C" __global__ void __launch_bounds__(MOST_THREADS) flood_parts(
    const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, const i64* starts,
    const double* weights, int* labels, i64* facts, char* scratch, i64 scratch_bytes, i64 largest
) {
    for (i64 i = 0; i < count; i++) {
        if (facts[6 * i]) continue;
        const Plane plane = planes[i];
        const int height = (int)plane.height, width = (int)plane.width;
        const Field own(scratch + i * scratch_bytes, largest);
        const int* seeds = own.square;
        const int* shared = own.other;
        const int* queue = own.seeds_of + height * width;
        const i64 several = facts[6 * i + 4], placed = facts[6 * i + 5];
        for (i64 k = threadIdx.x * gridDim.x + blockIdx.x; k < several; k += blockDim.x * gridDim.x) {
            Item* heap = own.heap + queue[k];
            int waiting = 0;
            for (i64 s = 0; s < placed; s++) {
                const int p = seeds[s];
                if (own.parent[p] != shared[k]) continue;
                const Item marker = {own.plane[p], 0, p, p};
                push(heap, waiting++, marker);
            }
            spread<false>(own.plane, own.mask, labels + plane.packed, height, width, heap, waiting);
        }
    }
}
