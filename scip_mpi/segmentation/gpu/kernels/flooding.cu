// Labels that grow from markers over a plane, lowest pixels first: segmentation/flooding.py. The order
// of equal markers is that of a binary heap, so the queue is the same heap, and one thread's.

// A pixel that waits: its value, when it was reached, its place and that of its marker.
struct Item {
    double value;
    int age, place, source;
};

// A queue has room for each pixel once: none waits twice. With compactness for each three times: once
// for itself and once for each of its two pairs of neighbours, of which only the one that gets its
// label first sends for the other.

__device__ inline bool is_due(const Item& item, const Item& other) {
    return item.value != other.value ? item.value < other.value : item.age < other.age;
}

// Put an item into a heap of `n`.
__device__ void push(Item* heap, int n, const Item& item) {
    int child = n;
    while (child > 0) {
        const int parent = (child - 1) / 2;
        if (!is_due(item, heap[parent])) break;
        heap[child] = heap[parent];
        child = parent;
    }
    heap[child] = item;
}

// Take the first item out of a heap of `n`.
__device__ Item pop(Item* heap, int n) {
    const Item first = heap[0], last = heap[n - 1];
    int at = 0;
    while (2 * at + 1 < n - 1) {
        const int left = 2 * at + 1, right = left + 1;
        int next = at;
        if (is_due(heap[left], last)) next = left;
        if (right < n - 1 && is_due(heap[right], next == at ? last : heap[left])) next = right;
        if (next == at) break;
        heap[at] = heap[next];
        at = next;
    }
    heap[at] = last;
    return first;
}

// Grow labels by sides, within `inside`, from the `n` markers that wait in the heap. With compactness
// each pixel of distance from its marker adds 1 to a pixel's value.
template <bool compact, typename L>
__device__ void spread(
    const double* plane, const u8* inside, L* labels, int height, int width, Item* heap, int n
) {
    int age = 0;
    while (n) {
        const Item item = pop(heap, n--);
        const int y = item.place / width, x = item.place - y * width;
        const int y0 = item.source / width, x0 = item.source - y0 * width;
        if (compact) {
            if (labels[item.place] && item.place != item.source) continue;
            labels[item.place] = labels[item.source];
        }
        const L label = labels[item.place];
        for (int k = 0; k < 4; k++) {
            const int v = y + (k > 2) - (k < 1), u = x + (k == 2) - (k == 1);
            if (v < 0 || u < 0 || v >= height || u >= width) continue;
            const int place = v * width + u;
            if ((inside && !inside[place]) || labels[place]) continue;
            double cost = plane[place];
            if (compact) {
                const double down = v - y0, over = u - x0;
                cost += sqrt(down * down + over * over);
            } else {
                labels[place] = label;
            }
            const Item next = {Larger()(cost, item.value), ++age, place, item.source};
            push(heap, n++, next);
        }
    }
}
