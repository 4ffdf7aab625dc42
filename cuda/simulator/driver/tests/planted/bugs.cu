// Bugs as people write them, each beside a healthy twin; planted_test.cc launches both, two blocks of 64 threads. The
// line where a check has to fire says "finds: KIND"; where a race has two lines, the other one says "races with it".

constexpr int kThreads = 64;

#define TWINS(bug)                                                                                                \
  extern "C" __global__ void bug##_planted(const float* in, float* out, int count) { bug<true>(in, out, count); } \
  extern "C" __global__ void bug##_healthy(const float* in, float* out, int count) { bug<false>(in, out, count); }

// Which of its block's 64 numbers a thread has.
__device__ int place() { return blockIdx.x * kThreads + threadIdx.x; }

// --- Order of accesses ---

// A sum by halves, whose rounds nothing parts.
template <bool kPlanted>
__device__ void missing_barrier(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  const int t = threadIdx.x;
  tile[t] = in[place()];
  __syncthreads();
  for (int half = kThreads / 2; half; half /= 2) {
    if (t < half) tile[t] += tile[t + half];  // finds: race
    if (!kPlanted) __syncthreads();
  }
  if (t == 0) out[blockIdx.x] = tile[0];
}
TWINS(missing_barrier)

// The next round overwrites what others of this round still read.
template <bool kPlanted>
__device__ void missing_second_barrier(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  float sum = 0;
  for (int round = 0; round < 4; round++) {
    tile[threadIdx.x] = in[place()] + round;  // races with it
    __syncthreads();
    sum += tile[kThreads - 1 - threadIdx.x];  // finds: race
    if (!kPlanted) __syncthreads();
  }
  out[place()] = sum;
}
TWINS(missing_second_barrier)

// Threads of one warp are not in step either.
template <bool kPlanted>
__device__ void missing_warp_barrier(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  tile[threadIdx.x] = 0;
  __syncthreads();
  tile[threadIdx.x] = in[place()];  // races with it
  if (!kPlanted) __syncwarp();
  out[place()] = tile[threadIdx.x ^ 1];  // finds: race
}
TWINS(missing_warp_barrier)

// The result of a block lies in a slot that all warps read.
template <bool kPlanted>
__device__ void reused_slot(const float* in, float* out, int) {
  __shared__ float slot;
  if (threadIdx.x == 0) slot = in[0];
  __syncthreads();
  const float largest = slot;  // races with it
  if (!kPlanted) __syncthreads();
  if (threadIdx.x == 0) slot = in[1];  // finds: race
  __syncthreads();
  out[place()] = largest + slot;
}
TWINS(reused_slot)

template <bool kPlanted>
__device__ void two_blocks_in_one_place(const float* in, float* out, int) {
  out[kPlanted ? threadIdx.x : place()] = in[place()];  // finds: race
}
TWINS(two_blocks_in_one_place)

template <bool kPlanted>
__device__ void sum_without_atomics(const float* in, float* out, int) {
  if (kPlanted)
    out[0] += in[place()];  // finds: race
  else
    atomicAdd(out, in[place()]);
}
TWINS(sum_without_atomics)

// A block waits for another one's word, which is no order for its data.
template <bool kPlanted>
__device__ void data_of_another_block(const float* in, float* out, int) {
  if (blockIdx.x == 0) out[threadIdx.x] = in[threadIdx.x];               // races with it
  if (blockIdx.x == 1 && kPlanted) out[place()] = out[threadIdx.x] + 1;  // finds: race
  if (blockIdx.x == 1 && !kPlanted) out[place()] = in[threadIdx.x] + 1;
}
TWINS(data_of_another_block)

// --- Asynchronous copies ---

__device__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

#define COPY_ASYNC(to, from) \
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(to)), "l"(from) : "memory")
#define COMMIT_COPIES() asm volatile("cp.async.commit_group;" ::: "memory")
#define WAIT_FOR_COPIES(but) asm volatile("cp.async.wait_group %0;" ::"n"(but) : "memory")

template <bool kPlanted>
__device__ void missing_wait(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  COPY_ASYNC(&tile[threadIdx.x], &in[place()]);
  COMMIT_COPIES();
  if (!kPlanted) WAIT_FOR_COPIES(0);
  __syncthreads();
  out[place()] = tile[threadIdx.x];  // finds: pending copy
}
TWINS(missing_wait)

// Two copies are under way, and the wait leaves the one that is needed.
template <bool kPlanted>
__device__ void wait_for_too_few(const float* in, float* out, int) {
  __shared__ float tiles[2][kThreads];
  for (int i = 0; i < 2; i++) {
    COPY_ASYNC(&tiles[i][threadIdx.x], &in[place()]);
    COMMIT_COPIES();
  }
  if (kPlanted)
    WAIT_FOR_COPIES(1);
  else
    WAIT_FOR_COPIES(0);
  __syncthreads();
  out[place()] = tiles[1][threadIdx.x];  // finds: pending copy
}
TWINS(wait_for_too_few)

// A thread waits for its own copies only.
template <bool kPlanted>
__device__ void wait_without_barrier(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  tile[threadIdx.x] = 0;
  __syncthreads();
  COPY_ASYNC(&tile[threadIdx.x], &in[place()]);  // races with it
  COMMIT_COPIES();
  WAIT_FOR_COPIES(0);
  if (!kPlanted) __syncthreads();
  out[place()] = tile[kThreads - 1 - threadIdx.x];  // finds: race
}
TWINS(wait_without_barrier)

// The next copy goes into the buffer that others still read.
template <bool kPlanted>
__device__ void copy_into_what_is_read(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  float sum = 0;
  for (int round = 0; round < 3; round++) {
    COPY_ASYNC(&tile[threadIdx.x], &in[place()]);  // races with it
    COMMIT_COPIES();
    WAIT_FOR_COPIES(0);
    __syncthreads();
    sum += tile[kThreads - 1 - threadIdx.x];  // finds: race
    if (!kPlanted) __syncthreads();
  }
  out[place()] = sum;
}
TWINS(copy_into_what_is_read)

// --- Places ---

template <bool kPlanted>
__device__ void store_off_by_one(const float* in, float* out, int count) {
  const int i = place();
  if (i < count) out[i + kPlanted] = in[i];  // finds: out of bounds
}
TWINS(store_off_by_one)

template <bool kPlanted>
__device__ void load_beyond_the_tail(const float* in, float* out, int count) {
  const int i = place() + 1;
  out[place()] = kPlanted || i < count ? in[i] : 0;  // finds: out of bounds
}
TWINS(load_beyond_the_tail)

template <bool kPlanted>
__device__ void shared_off_by_one(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  tile[(threadIdx.x + kPlanted) % (kThreads + kPlanted)] = in[place()];  // finds: out of bounds
  __syncthreads();
  out[place()] = tile[threadIdx.x];
}
TWINS(shared_off_by_one)

template <bool kPlanted>
__device__ void misaligned_vector(const float* in, float* out, int count) {
  const int i = 2 * place() + kPlanted;
  if (i + 2 <= count) *reinterpret_cast<float2*>(out + i) = make_float2(in[i], 0);  // finds: misaligned
}
TWINS(misaligned_vector)

// --- What nobody wrote ---

template <bool kPlanted>
__device__ void uninitialised_shared(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  if (!kPlanted || threadIdx.x < kThreads - 1) tile[threadIdx.x] = in[place()];
  __syncthreads();
  out[place()] = tile[kThreads - 1 - threadIdx.x];  // finds: uninitialised
}
TWINS(uninitialised_shared)

template <bool kPlanted>
__device__ void uninitialised_global(const float* in, float* out, int) {
  if (kPlanted)
    out[place()] += in[place()];  // finds: uninitialised
  else
    out[place()] = in[place()];
}
TWINS(uninitialised_global)

template <bool kPlanted>
__device__ void uninitialised_local(const float* in, float* out, int) {
  float numbers[8];
#pragma unroll 1
  for (int i = kPlanted; i < 8; i++) numbers[i] = in[i];
  out[place()] = numbers[threadIdx.x % 8];  // finds: uninitialised
}
TWINS(uninitialised_local)

// --- What all threads have to come to ---

template <bool kPlanted>
__device__ void divergent_barrier(const float* in, float* out, int) {
  __shared__ float tile[kThreads];
  tile[threadIdx.x] = in[place()];
  if (!kPlanted || threadIdx.x < 40) __syncthreads();  // finds: divergent barrier
  out[place()] = tile[threadIdx.x];
}
TWINS(divergent_barrier)

template <bool kPlanted>
__device__ void return_before_a_barrier(const float* in, float* out, int count) {
  __shared__ float tile[kThreads];
  if (kPlanted && place() >= count - 1) return;
  tile[threadIdx.x] = in[place()];
  __syncthreads();  // finds: divergent barrier
  out[place()] = tile[threadIdx.x];
}
TWINS(return_before_a_barrier)

template <bool kPlanted>
__device__ void shuffle_of_half_a_warp(const float* in, float* out, int) {
  float value = in[place()];
  if (threadIdx.x % 32 < 16)
    value += __shfl_xor_sync(kPlanted ? 0xffffffff : 0xffff, value, 1);  // finds: missing lanes
  out[place()] = value;
}
TWINS(shuffle_of_half_a_warp)

// Waits for a word that nobody will write.
template <bool kPlanted>
__device__ void endless_wait(const float* in, float* out, int) {
  const volatile float* flag = in;
  while (kPlanted && *flag >= 0) {  // finds: hang
  }
  out[place()] = in[place()];
}
TWINS(endless_wait)

// --- For launches over the limits, and for what the host does wrong ---

extern "C" __global__ void twice(const float* in, float* out, int count) {
  if (place() < count) out[place()] = 2 * in[place()];
}

extern "C" __global__ void __launch_bounds__(kThreads) of_64_threads(const float* in, float* out, int count) {
  if (place() < count) out[place()] = in[place()];
}

extern "C" __global__ void dynamic_shared(const float* in, float* out, int) {
  extern __shared__ float tile[];
  tile[threadIdx.x] = in[place()];
  out[place()] = tile[threadIdx.x];
}
