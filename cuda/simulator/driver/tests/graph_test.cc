// Captured graphs.
#include "driver/tests/harness.h"

using namespace simulator::driver::testing;

struct Streams {
  CUstream first, second;
  CUevent fork, join;
  Streams() {
    SUCCEED(cuStreamCreate(&first, CU_STREAM_NON_BLOCKING));
    SUCCEED(cuStreamCreate(&second, CU_STREAM_NON_BLOCKING));
    SUCCEED(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
    SUCCEED(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
  }
};

// out[0..8) += value, captured.
static CUgraph capture_add(const Streams& streams, CUfunction add, CUdeviceptr out, float value) {
  SUCCEED(cuStreamBeginCapture(streams.first, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  launch(add, out, 8, value, streams.first);
  CUgraph graph;
  SUCCEED(cuStreamEndCapture(streams.first, &graph));
  return graph;
}

TEST(a_graph_is_replayed) {
  start();
  const Streams streams;
  const CUdeviceptr out = allocate(8);
  SUCCEED(cuMemsetD32(out, 0, 8));
  SUCCEED(cuCtxSynchronize());
  const CUfunction add = function("add");
  const CUgraph graph = capture_add(streams, add, out, 2);
  SUCCEED(cuCtxSynchronize());
  EXPECT(download(out, 8)[0] == 0);
  size_t nodes = 0;
  SUCCEED(cuGraphGetNodes(graph, nullptr, &nodes));
  EXPECT(nodes == 1);
  CUgraphExec exec;
  SUCCEED(cuGraphInstantiate(&exec, graph, 0));
  SUCCEED(cuGraphDestroy(graph));
  for (int i = 0; i < 3; i++) SUCCEED(cuGraphLaunch(exec, streams.first));
  SUCCEED(cuStreamSynchronize(streams.first));
  EXPECT(download(out, 8)[7] == 6);
  SUCCEED(cuGraphExecDestroy(exec));
  EXPECT_RESULT(cuGraphLaunch(exec, streams.first), CUDA_ERROR_INVALID_HANDLE);
}

TEST(an_executable_graph_is_updated_where_its_shape_stays) {
  start();
  const Streams streams;
  const CUdeviceptr out = allocate(8);
  SUCCEED(cuMemsetD32(out, 0, 8));
  SUCCEED(cuCtxSynchronize());
  const CUfunction add = function("add");
  CUgraphExec exec;
  SUCCEED(cuGraphInstantiate(&exec, capture_add(streams, add, out, 2), 0));
  CUgraphExecUpdateResultInfo info;
  SUCCEED(cuGraphExecUpdate(exec, capture_add(streams, add, out, 5), &info));
  SUCCEED(cuGraphLaunch(exec, streams.first));
  SUCCEED(cuCtxSynchronize());
  EXPECT(download(out, 8)[0] == 5);
  CUgraph empty;
  SUCCEED(cuGraphCreate(&empty, 0));
  EXPECT_RESULT(cuGraphExecUpdate(exec, empty, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
  EXPECT(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
}

TEST(captures_fork_and_join) {
  start();
  const Streams streams;
  const CUdeviceptr left = allocate(8), right = allocate(8);
  const CUfunction fill = function("fill"), add = function("add");
  float results[2] = {};
  SUCCEED(cuStreamBeginCapture(streams.first, CU_STREAM_CAPTURE_MODE_GLOBAL));
  launch(fill, left, 8, 1, streams.first);
  SUCCEED(cuEventRecord(streams.fork, streams.first));
  SUCCEED(cuStreamWaitEvent(streams.second, streams.fork, 0));
  CUstreamCaptureStatus status;
  SUCCEED(cuStreamIsCapturing(streams.second, &status));
  EXPECT(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
  launch(fill, right, 8, 10, streams.second);
  launch(add, left, 8, 2, streams.first);
  SUCCEED(cuEventRecord(streams.join, streams.second));
  SUCCEED(cuStreamWaitEvent(streams.first, streams.join, 0));
  SUCCEED(cuMemcpyDtoHAsync(&results[0], left, sizeof(float), streams.first));
  SUCCEED(cuMemcpyDtoHAsync(&results[1], right, sizeof(float), streams.first));
  CUgraph graph;
  SUCCEED(cuStreamEndCapture(streams.first, &graph));
  CUgraphExec exec;
  SUCCEED(cuGraphInstantiate(&exec, graph, 0));
  EXPECT(results[0] == 0);
  for (int i = 0; i < 4; i++) {
    SUCCEED(cuGraphLaunch(exec, streams.second));
    SUCCEED(cuStreamSynchronize(streams.second));
    EXPECT(results[0] == 3 && results[1] == 10);
  }
}

TEST(a_forked_stream_must_be_joined) {
  start();
  const Streams streams;
  const CUdeviceptr out = allocate(8);
  const CUfunction fill = function("fill");
  SUCCEED(cuStreamBeginCapture(streams.first, CU_STREAM_CAPTURE_MODE_GLOBAL));
  SUCCEED(cuEventRecord(streams.fork, streams.first));
  SUCCEED(cuStreamWaitEvent(streams.second, streams.fork, 0));
  launch(fill, out, 8, 1, streams.second);
  CUgraph graph;
  EXPECT_RESULT(cuStreamEndCapture(streams.second, &graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
  EXPECT_RESULT(cuStreamEndCapture(streams.first, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
  SUCCEED(cuStreamSynchronize(streams.second));
}

TEST(captures_do_not_survive_synchronisation) {
  start();
  const Streams streams;
  const CUdeviceptr out = allocate(8);
  const CUfunction fill = function("fill");
  SUCCEED(cuStreamBeginCapture(streams.first, CU_STREAM_CAPTURE_MODE_RELAXED));
  EXPECT_RESULT(cuStreamSynchronize(streams.first), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  CUgraph graph;
  EXPECT_RESULT(cuStreamEndCapture(streams.first, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  SUCCEED(cuStreamBeginCapture(streams.first, CU_STREAM_CAPTURE_MODE_GLOBAL));
  CUdeviceptr pointer;
  EXPECT_RESULT(cuMemAlloc(&pointer, 16), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  unsigned count = 8;
  float value = 1;
  void* parameters[] = {const_cast<CUdeviceptr*>(&out), &count, &value};
  EXPECT_RESULT(cuLaunchKernel(fill, 1, 1, 1, 32, 1, 1, 0, streams.first, parameters, nullptr),
                CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_RESULT(cuStreamEndCapture(streams.first, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  SUCCEED(cuStreamBeginCapture(streams.first, CU_STREAM_CAPTURE_MODE_RELAXED));
  SUCCEED(cuMemAlloc(&pointer, 16));
  SUCCEED(cuStreamEndCapture(streams.first, &graph));
}

TEST(modules_are_not_loaded_while_a_stream_captures) {
  start();
  const Streams streams;
  CUgraph graph;
  CUmodule module;
  SUCCEED(cuStreamBeginCapture(streams.first, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  EXPECT_RESULT(cuModuleLoadData(&module, kKernels), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_RESULT(cuStreamEndCapture(streams.first, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  SUCCEED(cuModuleLoadData(&module, kKernels));
  SUCCEED(cuStreamBeginCapture(streams.first, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  EXPECT_RESULT(cuModuleUnload(module), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_RESULT(cuStreamEndCapture(streams.first, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  SUCCEED(cuModuleUnload(module));
}

TEST(the_legacy_stream_keeps_out_of_captures) {
  start();
  CUstream stream;
  SUCCEED(cuStreamCreate(&stream, CU_STREAM_DEFAULT));
  const CUdeviceptr out = allocate(8);
  SUCCEED(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
  EXPECT_RESULT(cuMemsetD8(out, 0, 8), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  CUgraph graph;
  EXPECT_RESULT(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_RESULT(cuStreamBeginCapture(nullptr, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
}
