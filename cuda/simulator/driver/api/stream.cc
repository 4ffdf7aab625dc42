// Streams, and what they capture.
#include <algorithm>

#include "driver/capture.h"
#include "driver/driver.h"

using namespace simulator::driver;

static void create(Context& context, CUstream* handle, unsigned flags, int priority) {
  required(handle, "the stream");
  if (flags & ~CU_STREAM_NON_BLOCKING) refuse(CUDA_ERROR_INVALID_VALUE, "unknown flags %#x", flags);
  auto stream = std::make_shared<Stream>();
  stream->context = &context;
  stream->flags = flags;
  stream->priority = std::clamp(priority, -5, 0);
  context.streams.push_back(stream);
  *handle = driver().streams.add(std::move(stream));
}

CUresult cuStreamCreate(CUstream* stream, unsigned int flags) {
  return in_context(__func__, [&](Context& context) { create(context, stream, flags, 0); });
}

CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned int flags, int priority) {
  return in_context(__func__, [&](Context& context) { create(context, stream, flags, priority); });
}

CUresult cuStreamDestroy_v2(CUstream handle) {
  return in_context(__func__, [&](Context& context) {
    const std::shared_ptr<Stream> stream = driver().streams.remove(handle);
    if (stream->capture) stream->capture->invalid = true;
    stream->capture = nullptr;
    stream->destroyed = true;
    if (stream->queue.empty()) std::erase(context.streams, stream);
  });
}

CUresult cuStreamSynchronize(CUstream handle) {
  return in_context(__func__, [&](Context& context) {
    Stream& stream = stream_at(context, handle);
    refuse_while_capturing(stream);
    refuse_implicit(stream);
    context.finish(stream.last);
  });
}

CUresult cuStreamQuery(CUstream handle) {
  return in_context(__func__, [&](Context& context) {
    Stream& stream = stream_at(context, handle);
    refuse_while_capturing(stream);
    // Whoever asks often enough sees the end.
    if (!stream.queue.empty() && context.random.below(2)) driver().advance(context);
    if (!stream.queue.empty()) refuse(CUDA_ERROR_NOT_READY, "the stream has work to do");
  });
}

// A stream that waits for what another captured captures too.
static void join_capture(Stream& stream, const Event& event) {
  Capture& theirs = *event.capture;
  if (theirs.invalid) refuse(CUDA_ERROR_CAPTURED_EVENT, "the event was recorded in a capture that is over");
  if (&stream == &stream.context->legacy) {
    theirs.invalid = true;
    refuse(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "the legacy stream cannot capture");
  }
  if (stream.capture && stream.capture != event.capture) {
    theirs.invalid = stream.capture->invalid = true;
    refuse(CUDA_ERROR_STREAM_CAPTURE_MERGE, "the stream belongs to another capture than the event");
  }
  stream.capture = event.capture;
  stream.frontier.insert(event.frontier.begin(), event.frontier.end());
}

CUresult cuStreamWaitEvent(CUstream handle, CUevent event_handle, unsigned int flags) {
  return in_context(__func__, [&](Context& context) {
    Stream& stream = stream_at(context, handle);
    const Event& event = *driver().events.at(event_handle);
    if (flags != CU_EVENT_WAIT_DEFAULT) refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator knows no external waits");
    if (event.capture) return join_capture(stream, event);
    if (const auto& capture = valid_capture(stream)) {
      capture->invalid = true;
      refuse(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "a captured stream would wait for what is not captured");
    }
    if (!event.mark || event.mark->passed) return;
    refuse_implicit(stream);
    context.queue(stream, std::make_shared<EmptyWork>(), {event.mark});
    context.drift();
  });
}

CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
  return in_context(__func__, [&](Context& context) {
    Stream& stream = stream_at(context, handle);
    if (&stream == &context.legacy) refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the legacy stream cannot capture");
    if (stream.capture) refuse(CUDA_ERROR_ILLEGAL_STATE, "the stream captures already");
    auto graph = std::make_shared<Graph>();
    graph->context = &context;
    stream.capture = std::make_shared<Capture>(
        Capture{++driver().captures, mode, std::this_thread::get_id(), &stream, std::move(graph)});
    stream.frontier.clear();
  });
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
  return in_context(__func__, [&](Context& context) {
    required(graph, "the graph") = nullptr;
    *graph = end_capture(stream_at(context, handle));
  });
}

static CUstreamCaptureStatus status_of(const Stream& stream) {
  if (!stream.capture) return CU_STREAM_CAPTURE_STATUS_NONE;
  return stream.capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
  return in_context(__func__,
                    [&](Context& context) { required(status, "the status") = status_of(stream_at(context, handle)); });
}

// The graph is not handed out before the capture has ended: nothing here could use it.
static void capture_info(Context& context, CUstream handle, CUstreamCaptureStatus* status, cuuint64_t* id,
                         bool wants_graph) {
  const Stream& stream = stream_at(context, handle);
  required(status, "the status") = status_of(stream);
  if (*status == CU_STREAM_CAPTURE_STATUS_NONE) return;
  if (wants_graph) refuse(CUDA_ERROR_NOT_SUPPORTED, "the simulator shows no graph while it is captured");
  if (id) *id = stream.capture->id;
}

CUresult cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id) {
  return in_context(__func__, [&](Context& context) { capture_info(context, stream, status, id, false); });
}

CUresult cuStreamGetCaptureInfo_v2(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
                                   const CUgraphNode** dependencies, size_t* count) {
  return in_context(
      __func__, [&](Context& context) { capture_info(context, stream, status, id, graph || dependencies || count); });
}

CUresult cuStreamGetCaptureInfo_v3(CUstream stream, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
                                   const CUgraphNode** dependencies, const CUgraphEdgeData** edges, size_t* count) {
  return in_context(__func__, [&](Context& context) {
    capture_info(context, stream, status, id, graph || dependencies || edges || count);
  });
}
