// Connected components of a plane of a mask, by union-find over its pixels: the root of a component
// is its first pixel in raster order.

__device__ inline int find_root(const volatile int* parent, int i) {
    while (parent[i] != i) i = parent[i];
    return i;
}

// Join two components. Of two roots the larger is hung under the smaller; if another thread was
// faster, what it hung there is joined too.
__device__ inline void join(int* parent, int a, int b) {
    while (true) {
        a = find_root(parent, a);
        b = find_root(parent, b);
        if (a == b) return;
        if (a > b) {
            const int c = a;
            a = b;
            b = c;
        }
        const int before = atomicMin(&parent[b], a);
        if (before == b) return;
        b = before;
    }
}

// Find the components of the pixels equal to `value`, joined by sides or, if `eight`, by corners too.
__device__ void label(const u8* mask, int height, int width, u8 value, bool eight, int* parent) {
    const int n = height * width;
    for (int p = threadIdx.x; p < n; p += blockDim.x) parent[p] = p;
    __syncthreads();
    for (int p = threadIdx.x; p < n; p += blockDim.x) {
        if (mask[p] != value) continue;
        const int y = p / width, x = p - y * width;
        const bool left = x > 0 && mask[p - 1] == value;
        const bool above = y > 0 && mask[p - width] == value;
        const bool corner = x > 0 && y > 0 && mask[p - width - 1] == value;
        if (left) join(parent, p, p - 1);
        // Where the corner between them is of the component too, it joins the two already.
        if (above && !(left && corner)) join(parent, p, p - width);
        if (!eight || above || y == 0) continue;
        if (corner && !left) join(parent, p, p - width - 1);
        if (x < width - 1 && mask[p - width + 1] == value) join(parent, p, p - width + 1);
    }
    __syncthreads();
}

// Sum up, at the root of each component, what the pixels equal to `value` are worth.
template <typename F>
__device__ void sum_up(
    const u8* mask, int height, int width, u8 value, const int* parent, int* sums, F worth
) {
    const int n = height * width;
    for (int p = threadIdx.x; p < n; p += blockDim.x) sums[p] = 0;
    __syncthreads();
    for (int p = threadIdx.x; p < n; p += blockDim.x) {
        if (mask[p] != value) continue;
        const int y = p / width, x = p - y * width;
        const int own = worth(y, x);
        if (own) atomicAdd(&sums[find_root(parent, p)], own);
    }
    __syncthreads();
}

struct One {
    __device__ int operator()(int y, int x) const { return 1; }
};

// On how many sides of the plane a pixel is.
struct Sides {
    int height, width;
    __device__ int operator()(int y, int x) const {
        return (y == 0) + (y == height - 1) + (x == 0) + (x == width - 1);
    }
};

// Turn components of `value` with fewer than `quarters` / 4 pixels over: flip_small.
__device__ void flip_small(u8* mask, int height, int width, u8 value, i64 quarters, int* parent) {
    const int n = height * width;
    int* size = parent + n;
    label(mask, height, width, value, false, parent);
    sum_up(mask, height, width, value, parent, size, One());
    for (int p = threadIdx.x; p < n; p += blockDim.x) {
        if (mask[p] == value && 4 * (i64)size[find_root(parent, p)] < quarters) mask[p] = 1 - value;
    }
    __syncthreads();
}

// Fill background that reaches no side of the plane.
__device__ void fill_holes(u8* mask, int height, int width, int* parent, int* sums) {
    label(mask, height, width, 0, false, parent);
    const Sides sides = {height, width};
    sum_up(mask, height, width, 0, parent, sums, sides);
    for (int p = threadIdx.x; p < height * width; p += blockDim.x) {
        if (!mask[p] && sums[find_root(parent, p)] == 0) mask[p] = 1;
    }
    __syncthreads();
}
