// 64 KB of static shared memory, which the assembler refuses on every device.
extern "C" __global__ void too_much_shared(const float* in, float* out, int count) {
  __shared__ float tile[16384];
  for (int i = threadIdx.x; i < count; i += blockDim.x) tile[i] = in[i];
  __syncthreads();
  out[threadIdx.x] = tile[count - 1 - threadIdx.x];
}
