// What all kernels share. A block of threads works on one plane at a time; every result is the same
// for any number of threads, and the same bit for bit as the functions of scip_mpi/segmentation:
// sums of floating point have the order of theirs, and no multiplication is fused with an addition.
//
// The source keeps to what a C++ compiler takes too, so that it can be tested without a GPU: threads
// meet at __syncthreads() only, atomics are on integers, and every argument of a kernel is a pointer
// or 64 bits wide. The host defines PIXEL, the pixels' type; VALUE, of differences of two pixels;
// REAL, of the edges of bins; and FLOATING, 1 where pixels are floating point.

typedef long long i64;
typedef unsigned long long u64;
typedef unsigned char u8;
typedef unsigned short u16;

#define MOST_THREADS 512
#define LARGEST 1.7976931348623157e308

// A plane as the host lists it: where it starts, its size, its channel, where its packed mask starts.
struct Plane {
    i64 at, height, width, channel, packed;
};

// A kernel that makes masks. Blocks take the `count` planes in turn, each with `scratch_bytes` of
// scratch for planes of up to `largest` pixels. What it reads from `numbers`, `starts` and `weights`
// stands before it. It fills `masks`, which are all 0 before, and `left`: 1 for planes that are left
// to the CPU.
#define MASK_KERNEL(name) \
    extern "C" __global__ void __launch_bounds__(MOST_THREADS) name( \
        const PIXEL* pixels, const Plane* planes, i64 count, const double* numbers, \
        const i64* starts, const double* weights, u8* masks, u8* left, char* scratch, \
        i64 scratch_bytes, i64 largest \
    )

// A place in fast memory where each thread of a block may leave up to 16 bytes for the others.
__device__ inline void* places() {
    __shared__ double held[2 * MOST_THREADS];
    return held;
}

// Value of all threads together, in no particular order: for what has none (extremes, whole numbers).
template <typename V, typename F>
__device__ V reduce(V value, F combine) {
    V* held = (V*)places();
    const int me = threadIdx.x, threads = blockDim.x;
    held[me] = value;
    __syncthreads();
    for (int step = 1; step < threads; step *= 2) {
        if (me % (2 * step) == 0 && me + step < threads) held[me] = combine(held[me], held[me + step]);
        __syncthreads();
    }
    const V result = held[0];
    __syncthreads();
    return result;
}

// Sum of the values of the threads before this one.
__device__ i64 sum_before(i64 value) {
    i64* held = (i64*)places();
    const int me = threadIdx.x, threads = blockDim.x;
    held[me] = value;
    __syncthreads();
    for (int step = 1; step < threads; step *= 2) {
        const i64 other = me >= step ? held[me - step] : 0;
        __syncthreads();
        held[me] += other;
        __syncthreads();
    }
    const i64 result = held[me] - value;
    __syncthreads();
    return result;
}

// The part of `n` things in a row that is this thread's.
struct Share {
    int first, last;

    __device__ explicit Share(i64 n) {
        const i64 each = (n + blockDim.x - 1) / blockDim.x, start = each * threadIdx.x;
        first = (int)(start < n ? start : n);
        last = (int)(start + each < n ? start + each : n);
    }
};

struct Smaller {
    template <typename V>
    __device__ V operator()(V a, V b) const { return b < a ? b : a; }
};

struct Larger {
    template <typename V>
    __device__ V operator()(V a, V b) const { return b > a ? b : a; }
};

struct Sum {
    template <typename V>
    __device__ V operator()(V a, V b) const { return a + b; }
};

__device__ inline double of_bits(u64 bits) {
    union { u64 bits; double value; } both;
    both.bits = bits;
    return both.value;
}

#define INFINITE of_bits(0x7ff0000000000000)
#define NO_NUMBER of_bits(0x7ff8000000000000)

__device__ inline bool is_finite(double value) { return value - value == 0.0; }
