// Events. Their times are reckoned from bytes and launches, not measured.
#include "driver/capture.h"
#include "driver/driver.h"

using namespace simulator::driver;

CUresult cuEventCreate(CUevent* handle, unsigned int flags) {
  return in_context(__func__, [&](Context& context) {
    if (flags & ~(CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING))
      refuse(CUDA_ERROR_INVALID_VALUE, "the simulator makes no events with the flags %#x", flags);
    auto event = std::make_shared<Event>();
    event->context = &context;
    event->flags = flags;
    required(handle, "the event") = driver().events.add(std::move(event));
  });
}

CUresult cuEventDestroy_v2(CUevent event) {
  return in_context(__func__, [&](Context&) { driver().events.remove(event); });
}

static void record(Context& context, CUevent handle, CUstream stream_handle) {
  Event& event = *driver().events.at(handle);
  Stream& stream = stream_at(context, stream_handle);
  if (event.context != &context)
    refuse_misuse(CUDA_ERROR_INVALID_HANDLE, "the event is of device %d, the stream of device %d",
                  event.context->ordinal, context.ordinal);
  event.capture = valid_capture(stream);
  event.frontier = stream.frontier;
  event.mark = nullptr;
  if (event.capture) return;
  refuse_implicit(stream);
  event.mark = context.queue(stream, std::make_shared<EmptyWork>())->mark;
  context.drift();
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  return in_context(__func__, [&](Context& context) { record(context, event, stream); });
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags) {
  return in_context(__func__, [&](Context& context) {
    if (flags != CU_EVENT_RECORD_DEFAULT) refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator knows no external records");
    record(context, event, stream);
  });
}

// Refuses events that stand for a place in a graph.
static const Event& recorded(CUevent handle) {
  const Event& event = *driver().events.at(handle);
  refuse_if_unsafe(driver());
  if (event.capture) refuse(CUDA_ERROR_CAPTURED_EVENT, "the event was recorded in a stream that captured");
  return event;
}

CUresult cuEventSynchronize(CUevent handle) {
  return in_context(__func__, [&](Context& context) { context.finish(recorded(handle).mark); });
}

CUresult cuEventQuery(CUevent handle) {
  return in_context(__func__, [&](Context& context) {
    const std::shared_ptr<Mark> mark = recorded(handle).mark;
    if (!mark) return;
    if (!mark->passed && context.random.below(2)) driver().advance(context);
    if (!mark->passed) refuse(CUDA_ERROR_NOT_READY, "the event has not come to pass");
  });
}

static void elapsed(float* milliseconds, CUevent begin, CUevent end) {
  const Event& first = recorded(begin);
  const Event& second = recorded(end);
  if ((first.flags | second.flags) & CU_EVENT_DISABLE_TIMING)
    refuse(CUDA_ERROR_INVALID_HANDLE, "an event was made without timing");
  if (!first.mark || !second.mark) refuse(CUDA_ERROR_INVALID_HANDLE, "an event was never recorded");
  if (!first.mark->passed || !second.mark->passed) refuse(CUDA_ERROR_NOT_READY, "an event has not come to pass");
  required(milliseconds, "the time") =
      static_cast<float>((second.mark->microseconds - first.mark->microseconds) * 1e-3);
}

CUresult cuEventElapsedTime(float* milliseconds, CUevent begin, CUevent end) {
  return in_context(__func__, [&](Context&) { elapsed(milliseconds, begin, end); });
}

CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent begin, CUevent end) {
  return in_context(__func__, [&](Context&) { elapsed(milliseconds, begin, end); });
}
