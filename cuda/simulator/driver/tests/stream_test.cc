// When and in which order streams do what is asked of them.
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "driver/tests/harness.h"

using namespace simulator::driver::testing;

// Runs a scenario under several schedules; counts under how many it returned true.
template <typename Scenario>
static int schedules(int count, Scenario scenario) {
  int times = 0;
  for (int seed = 0; seed < count; seed++) {
    start({{"SEED", std::to_string(seed).c_str()}});
    times += scenario();
  }
  return times;
}

static CUstream stream_of(unsigned flags) {
  CUstream stream;
  SUCCEED(cuStreamCreate(&stream, flags));
  return stream;
}

TEST(work_waits_until_something_synchronises) {
  const int waited = schedules(8, [] {
    const CUdeviceptr out = allocate(8);
    launch(function("fill"), out, 8, 3);
    const bool waits = simulatorPending(0) > 0;
    SUCCEED(cuCtxSynchronize());
    EXPECT(simulatorPending(0) == 0);
    EXPECT(download(out, 8)[7] == 3);
    return waits;
  });
  EXPECT(waited > 2);
}

TEST(a_stream_keeps_its_order) {
  schedules(8, [] {
    const CUdeviceptr out = allocate(8);
    const CUstream stream = stream_of(CU_STREAM_NON_BLOCKING);
    const CUfunction fill = function("fill"), add = function("add");
    launch(fill, out, 8, 1, stream);
    launch(add, out, 8, 2, stream);
    launch(add, out, 8, 4, stream);
    SUCCEED(cuStreamSynchronize(stream));
    EXPECT(download(out, 8)[0] == 7);
    return true;
  });
}

// fill in one stream, add in another.
static float race(bool with_event) {
  const CUdeviceptr out = allocate(8);
  const CUfunction fill = function("fill"), add = function("add");
  const CUstream first = stream_of(CU_STREAM_NON_BLOCKING), second = stream_of(CU_STREAM_NON_BLOCKING);
  launch(fill, out, 8, 1, first);
  SUCCEED(cuStreamSynchronize(first));
  CUevent event;
  SUCCEED(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  launch(fill, out, 8, 10, first);
  SUCCEED(cuEventRecord(event, first));
  if (with_event) SUCCEED(cuStreamWaitEvent(second, event, 0));
  launch(add, out, 8, 5, second);
  SUCCEED(cuCtxSynchronize());
  return download(out, 8)[0];
}

TEST(events_order_streams_and_nothing_else_does) {
  EXPECT(schedules(16, [] { return race(true) == 15; }) == 16);
  const int in_order = schedules(16, [] { return race(false) == 15; });
  EXPECT(in_order > 0 && in_order < 16);
}

TEST(the_legacy_stream_waits_for_blocking_streams_and_they_for_it) {
  schedules(8, [] {
    const CUdeviceptr out = allocate(8);
    const CUfunction fill = function("fill"), add = function("add");
    const CUstream stream = stream_of(CU_STREAM_DEFAULT);
    launch(fill, out, 8, 1, stream);
    launch(add, out, 8, 2);
    launch(fill, out, 8, 20, stream);
    launch(add, out, 8, 4);
    EXPECT(download(out, 8)[0] == 24);
    return true;
  });
}

TEST(a_copy_from_pageable_memory_is_not_ordered_before_a_stream_that_does_not_block) {
  const int right = schedules(24, [] {
    const CUdeviceptr out = allocate(1);
    const CUfunction add = function("add");
    float one = 1, hundred = 100;
    SUCCEED(cuMemcpyHtoD(out, &one, sizeof one));
    SUCCEED(cuCtxSynchronize());
    SUCCEED(cuMemcpyHtoD(out, &hundred, sizeof hundred));
    launch(add, out, 1, 5, stream_of(CU_STREAM_NON_BLOCKING));
    SUCCEED(cuCtxSynchronize());
    return download(out, 1)[0] == 105;
  });
  EXPECT(right > 0 && right < 24);
}

TEST(results_that_are_read_too_early_are_poison) {
  const int early = schedules(8, [] {
    const CUdeviceptr out = allocate(1);
    launch(function("fill"), out, 1, 2);
    float result = 0;
    SUCCEED(cuMemcpyDtoHAsync(&result, out, sizeof result, nullptr));
    const bool poison = result != result;
    EXPECT(poison || result == 2);
    SUCCEED(cuStreamSynchronize(nullptr));
    EXPECT(result == 2);
    return poison;
  });
  EXPECT(early > 2);
}

TEST(pageable_memory_is_taken_at_once_and_pinned_memory_is_watched) {
  const int seen = schedules(8, [] {
    const CUdeviceptr out = allocate(1);
    float pageable = 1;
    SUCCEED(cuMemcpyHtoDAsync(out, &pageable, sizeof pageable, nullptr));
    pageable = 2;
    EXPECT(download(out, 1)[0] == 1);
    EXPECT(simulatorFindings() == 0);
    void* memory;
    SUCCEED(cuMemAllocHost(&memory, sizeof(float)));
    float& pinned = *static_cast<float*>(memory);
    pinned = 3;
    SUCCEED(cuMemcpyHtoDAsync(out, &pinned, sizeof pinned, nullptr));
    pinned = 4;
    SUCCEED(cuCtxSynchronize());
    return found("changed while a copy from it was pending");
  });
  EXPECT(seen > 2);
}

TEST(pinned_memory_may_go_there_and_back) {
  schedules(8, [] {
    const CUdeviceptr out = allocate(1);
    void* memory;
    SUCCEED(cuMemAllocHost(&memory, sizeof(float)));
    float& pinned = *static_cast<float*>(memory);
    pinned = 3;
    const CUfunction add = function("add");
    SUCCEED(cuMemcpyHtoDAsync(out, &pinned, sizeof pinned, nullptr));
    launch(add, out, 1, 1);
    SUCCEED(cuMemcpyDtoHAsync(&pinned, out, sizeof pinned, nullptr));
    SUCCEED(cuMemcpyHtoDAsync(out, &pinned, sizeof pinned, nullptr));
    launch(add, out, 1, 1);
    SUCCEED(cuMemcpyDtoHAsync(&pinned, out, sizeof pinned, nullptr));
    SUCCEED(cuStreamSynchronize(nullptr));
    EXPECT(pinned == 5);
    EXPECT(simulatorFindings() == 0);
    return true;
  });
}

TEST(what_nobody_wrote_is_poison) {
  start();
  const float value = download(allocate(1), 1)[0];
  EXPECT(value != value);
}

TEST(what_kernels_wrote_is_no_poison_without_checks) {
  start({{"CHECKS", "off"}});
  const CUdeviceptr out = allocate(1);
  launch(function("fill"), out, 1, 2);
  EXPECT(download(out, 1)[0] == 2);
}

TEST(queries_come_to_an_end) {
  start();
  const CUdeviceptr out = allocate(1);
  CUevent event;
  SUCCEED(cuEventCreate(&event, 0));
  launch(function("fill"), out, 1, 2);
  SUCCEED(cuEventRecord(event, nullptr));
  int polls = 0;
  while (cuEventQuery(event) == CUDA_ERROR_NOT_READY) polls++;
  EXPECT(polls < 100);
  SUCCEED(cuStreamQuery(nullptr));
}

TEST(events_tell_reckoned_times) {
  start();
  const CUdeviceptr out = allocate(1024);
  CUevent begin, end;
  SUCCEED(cuEventCreate(&begin, 0));
  SUCCEED(cuEventCreate(&end, 0));
  SUCCEED(cuEventRecord(begin, nullptr));
  launch(function("fill"), out, 1024, 2);
  SUCCEED(cuEventRecord(end, nullptr));
  SUCCEED(cuEventSynchronize(end));
  float milliseconds = 0;
  SUCCEED(cuEventElapsedTime(&milliseconds, begin, end));
  EXPECT(milliseconds > 0);
}

TEST(rectangles_are_copied_row_by_row) {
  start();
  const CUdeviceptr out = allocate(16);
  float from[6] = {1, 2, 3, 4, 5, 6}, back[6] = {};
  SUCCEED(cuMemsetD32(out, 0, 16));
  CUDA_MEMCPY2D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = from;
  copy.srcPitch = 12;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = out;
  copy.dstPitch = 32;
  copy.dstXInBytes = 4;
  copy.WidthInBytes = 8;
  copy.Height = 2;
  SUCCEED(cuMemcpy2D(&copy));
  const auto values = download(out, 16);
  EXPECT(values[0] == 0 && values[1] == 1 && values[2] == 2 && values[3] == 0);
  EXPECT(values[9] == 4 && values[10] == 5 && values[11] == 0);
  CUDA_MEMCPY2D reverse{};
  reverse.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  reverse.srcDevice = out;
  reverse.srcPitch = 32;
  reverse.srcXInBytes = 4;
  reverse.dstMemoryType = CU_MEMORYTYPE_HOST;
  reverse.dstHost = back;
  reverse.dstPitch = 12;
  reverse.WidthInBytes = 8;
  reverse.Height = 2;
  SUCCEED(cuMemcpy2DAsync(&reverse, nullptr));
  SUCCEED(cuCtxSynchronize());
  EXPECT(back[0] == 1 && back[1] == 2 && back[2] == 0 && back[3] == 4 && back[4] == 5);
}

TEST(memory_in_the_order_of_a_stream) {
  schedules(8, [] {
    CUdeviceptr out;
    const CUstream stream = stream_of(CU_STREAM_NON_BLOCKING);
    SUCCEED(cuMemAllocAsync(&out, 64, stream));
    launch(function("fill"), out, 16, 2, stream);
    SUCCEED(cuMemFreeAsync(out, stream));
    SUCCEED(cuStreamSynchronize(stream));
    EXPECT(simulatorFindings() == 0);
    return true;
  });
}

TEST(host_functions_are_called_in_order_and_may_not_call_back) {
  start();
  const CUdeviceptr out = allocate(1);
  const CUstream stream = stream_of(CU_STREAM_NON_BLOCKING);
  launch(function("fill"), out, 1, 2, stream);
  static std::atomic<CUresult> result;
  result = CUDA_ERROR_UNKNOWN;
  SUCCEED(cuLaunchHostFunc(
      stream, [](void*) { result = cuCtxSynchronize(); }, nullptr));
  SUCCEED(cuStreamSynchronize(stream));
  EXPECT(result == CUDA_ERROR_NOT_PERMITTED);
}

TEST(host_functions_are_called_though_nobody_synchronises) {
  start();
  std::atomic<bool> called = false;
  SUCCEED(cuLaunchHostFunc(
      nullptr, [](void* data) { *static_cast<std::atomic<bool>*>(data) = true; }, &called));
  for (int i = 0; i < 400 && !called; i++) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT(called);
}

TEST(threads_may_call_at_once) {
  start();
  CUcontext context;
  SUCCEED(cuCtxGetCurrent(&context));
  const CUfunction fill = function("fill");
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int id = 0; id < 4; id++) {
    threads.emplace_back([&, id] {
      cuCtxSetCurrent(context);
      const CUdeviceptr out = allocate(64);
      CUstream stream;
      cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
      bool equal = true;
      for (int round = 0; round < 10; round++) {
        launch(fill, out, 64, static_cast<float>(id * 100 + round), stream);
        float result = -1;
        cuMemcpyDtoHAsync(&result, out, sizeof result, stream);
        cuStreamSynchronize(stream);
        equal &= result == static_cast<float>(id * 100 + round);
      }
      right += equal;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT(right == 4);
}
