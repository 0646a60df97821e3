// What CUDA adds to C++, for the kernels' source: a grid's blocks run one after another, and the
// threads of a block are fibers that change places at __syncthreads(), in ascending or descending
// order, so that a result which hangs on the order of threads shows.

#include <cmath>
#include <cstddef>
#include <vector>
#include <ucontext.h>

struct Three { unsigned x; };
static Three threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(n)

static std::vector<ucontext_t> fibers;
static std::vector<std::vector<char>> stacks;
static std::vector<bool> ended;
static ucontext_t home;
static void (*task)();

static void enter() {
    task();
    ended[threadIdx.x] = true;
}

static void __syncthreads() {
    const unsigned me = threadIdx.x;
    swapcontext(&fibers[me], &home);
    threadIdx.x = me;
}

static int atomicAdd(int* at, int value) {
    const int before = *at;
    *at += value;
    return before;
}

static int atomicMax(int* at, int value) {
    const int before = *at;
    if (value > before) *at = value;
    return before;
}

static int atomicMin(int* at, int value) {
    const int before = *at;
    if (value < before) *at = value;
    return before;
}

static long long given[16];
typedef void Kernel(
    long long, long long, long long, long long, long long, long long, long long, long long,
    long long, long long, long long
);
static Kernel* kernel;

static void call() {
    const long long* g = given;
    kernel(g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10]);
}

// Every argument is a pointer or 64 bits wide, so that they may be passed as numbers. Returns how
// often a block's threads did not all come to the same __syncthreads().
extern "C" int launch(void* entry, int blocks, int threads, int descending, const long long* args) {
    kernel = (Kernel*)entry;
    task = call;
    for (int k = 0; k < 11; k++) given[k] = args[k];
    fibers.resize(threads);
    stacks.resize(threads);
    ended.resize(threads);
    gridDim.x = blocks;
    blockDim.x = threads;
    int strays = 0;
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) {
        for (int t = 0; t < threads; t++) {
            stacks[t].resize(1 << 16);
            ended[t] = false;
            getcontext(&fibers[t]);
            fibers[t].uc_stack.ss_sp = stacks[t].data();
            fibers[t].uc_stack.ss_size = stacks[t].size();
            fibers[t].uc_link = &home;
            makecontext(&fibers[t], enter, 0);
        }
        int left = threads;
        while (left) {
            int went = 0;
            for (int k = 0; k < threads; k++) {
                const int t = descending ? threads - 1 - k : k;
                if (ended[t]) continue;
                threadIdx.x = t;
                swapcontext(&home, &fibers[t]);
                went++;
            }
            left = 0;
            for (int t = 0; t < threads; t++) left += !ended[t];
            strays += left != 0 && left != went;
        }
    }
    return strays;
}
