// Gaussian and Sobel filters of a plane, in the order of operations of segmentation/smoothing.py.

// Where a pixel beyond the edge is looked for: at the nearest one, or mirrored (c b a | a b c).
struct Nearest {
    __device__ int operator()(int i, int n) const { return i < 0 ? 0 : i < n ? i : n - 1; }
};

struct Mirrored {
    __device__ int operator()(int i, int n) const { return i >= 0 && i < n ? i : mirror(i, n); }
};

// Smooth `plane` in place by half a kernel of `radius` + 1 weights; `between` is scratch.
template <typename P>
__device__ void gaussian(
    double* plane, double* between, int height, int width, const double* weights, int radius, P place
) {
    const int n = height * width;
    for (int p = threadIdx.x; p < n; p += blockDim.x) {
        const int y = p / width, x = p - y * width;
        double sum = plane[p] * weights[0];
        for (int k = radius; k > 0; k--) {
            const int above = place(y - k, height), below = place(y + k, height);
            sum += (plane[above * width + x] + plane[below * width + x]) * weights[k];
        }
        between[p] = sum;
    }
    __syncthreads();
    for (int p = threadIdx.x; p < n; p += blockDim.x) {
        const int y = p / width, x = p - y * width;
        const double* line = between + y * width;
        double sum = line[x] * weights[0];
        for (int k = radius; k > 0; k--) {
            sum += (line[place(x - k, width)] + line[place(x + k, width)]) * weights[k];
        }
        plane[p] = sum;
    }
    __syncthreads();
}

// Sobel magnitude of `plane` into `out`, divided by the square root of 2.
__device__ void gradient(const double* plane, int height, int width, double* out) {
    const double root = sqrt(2.0);
    const int n = height * width;
    for (int p = threadIdx.x; p < n; p += blockDim.x) {
        const int y = p / width, x = p - y * width;
        const double* upper = plane + (y > 0 ? y - 1 : 0) * width;
        const double* own = plane + y * width;
        const double* lower = plane + (y < height - 1 ? y + 1 : height - 1) * width;
        const int w = x > 0 ? x - 1 : 0, e = x < width - 1 ? x + 1 : width - 1;
        const double nw = upper[w], north = upper[x], ne = upper[e];
        const double west = own[w], east = own[e];
        const double sw = lower[w], south = lower[x], se = lower[e];
        const double down =
            ((((-0.25 * nw + -0.5 * north) + -0.25 * ne) + 0.25 * sw) + 0.5 * south) + 0.25 * se;
        const double over =
            ((((-0.25 * nw + 0.25 * ne) + -0.5 * west) + 0.5 * east) + -0.25 * sw) + 0.25 * se;
        out[p] = sqrt(down * down + over * over) / root;
    }
    __syncthreads();
}
