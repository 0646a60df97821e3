// The k-th smallest of many values: segmentation/order.py.

// Unsigned numbers in the order of the values.
__device__ inline u64 key_of(u8 value) { return value; }
__device__ inline u64 key_of(u16 value) { return value; }
__device__ inline u64 key_of(unsigned int value) { return value; }
__device__ inline u64 key_of(u64 value) { return value; }
__device__ inline u64 key_of(i64 value) { return (u64)value ^ (1ull << 63); }
__device__ inline u64 key_of(double value) {
    union { double value; u64 bits; } both;
    both.value = value;
    return both.bits >> 63 ? ~both.bits : both.bits | 1ull << 63;
}

__device__ inline double value_of(u64 key) {
    return of_bits(key >> 63 ? key ^ (1ull << 63) : ~key);
}

// Key of the k-th smallest of `n` values, found byte by byte from the top.
template <typename V>
__device__ u64 select_key(const V* values, i64 n, i64 k) {
    __shared__ int counts[256];
    __shared__ u64 found;
    __shared__ i64 wanted;
    if (threadIdx.x == 0) {
        found = 0;
        wanted = k;
    }
    for (int shift = 8 * (int)sizeof(V) - 8; shift >= 0; shift -= 8) {
        for (int c = threadIdx.x; c < 256; c += blockDim.x) counts[c] = 0;
        __syncthreads();
        const u64 known = found;
        for (i64 p = threadIdx.x; p < n; p += blockDim.x) {
            const u64 key = key_of(values[p]);
            // Shifting by 64 has no meaning, so the known bytes are compared in two steps.
            if ((key >> shift) >> 8 == known) atomicAdd(&counts[(key >> shift) & 255], 1);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            int c = 0;
            while (wanted >= counts[c]) wanted -= counts[c++];
            found = known << 8 | (u64)c;
        }
        __syncthreads();
    }
    const u64 result = found;
    __syncthreads();
    return result;
}
