#include "driver/capture.h"

#include <algorithm>

namespace simulator::driver {

Stream& stream_at(Context& context, CUstream handle) {
  if (!handle || handle == CU_STREAM_LEGACY) return context.legacy;
  if (handle == CU_STREAM_PER_THREAD) {
    auto& own = context.of_threads[std::this_thread::get_id()];
    if (!own) {
      own = std::make_shared<Stream>();
      own->context = &context;
    }
    return *own;
  }
  Stream& stream = *driver().streams.at(handle);
  if (stream.context != &context)
    refuse_misuse(CUDA_ERROR_INVALID_HANDLE, "the stream is of device %d, the current context of device %d",
                  stream.context->ordinal, context.ordinal);
  return stream;
}

[[noreturn]] static void invalidate(Capture& capture, CUresult code, const char* why) {
  capture.invalid = true;
  refuse(code, "%s", why);
}

const std::shared_ptr<Capture>& valid_capture(Stream& stream) {
  if (stream.capture && stream.capture->invalid)
    refuse(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "a call before has ended the capture");
  return stream.capture;
}

void refuse_while_capturing(Stream& stream) {
  if (stream.capture)
    invalidate(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the stream captures, nothing runs in it");
}

void refuse_while_capturing(Context& context) {
  for (Stream* stream : context.all_streams()) refuse_while_capturing(*stream);
}

void refuse_if_unsafe(Driver& all) {
  for (const auto& context : all.contexts) {
    for (Stream* stream : context->all_streams()) {
      if (!stream->capture) continue;
      Capture& capture = *stream->capture;
      const bool ours = capture.thread == std::this_thread::get_id();
      if (capture.mode == CU_STREAM_CAPTURE_MODE_GLOBAL ||
          (capture.mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL && ours))
        invalidate(capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                   "a stream captures in a mode that forbids this call");
    }
  }
}

void refuse_implicit(Stream& stream) {
  if (&stream != &stream.context->legacy) return;
  for (Stream* other : stream.context->all_streams()) {
    if (other->capture && other->blocking())
      invalidate(*other->capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                 "the legacy stream would wait for a stream that captures");
  }
}

void issue(Stream& stream, std::shared_ptr<const Work> work) {
  if (const auto& capture = valid_capture(stream)) {
    Plan& plan = capture->graph->plan;
    plan.push_back({std::move(work), {stream.frontier.begin(), stream.frontier.end()}});
    stream.frontier = {plan.size() - 1};
    return;
  }
  refuse_implicit(stream);
  stream.context->queue(stream, std::move(work));
  stream.context->drift();
}

// The nodes that some nodes come after, and they themselves.
static std::set<size_t> ancestors(const Plan& plan, const std::set<size_t>& nodes) {
  std::set<size_t> all = nodes;
  for (size_t node = plan.size(); node-- > 0;) {
    if (all.count(node)) all.insert(plan[node].after.begin(), plan[node].after.end());
  }
  return all;
}

CUgraph end_capture(Stream& stream) {
  const std::shared_ptr<Capture> capture = stream.capture;
  if (!capture) refuse(CUDA_ERROR_ILLEGAL_STATE, "the stream does not capture");
  if (capture->origin != &stream) refuse(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "the capture began in another stream");
  if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != std::this_thread::get_id())
    refuse(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture began in another thread");
  const std::set<size_t> joined = ancestors(capture->graph->plan, stream.frontier);
  bool unjoined = false;
  for (Stream* other : stream.context->all_streams()) {
    if (other->capture != capture) continue;
    unjoined |= !std::includes(joined.begin(), joined.end(), other->frontier.begin(), other->frontier.end());
    other->capture = nullptr;
    other->frontier.clear();
  }
  if (capture->invalid) refuse(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "a call before has ended the capture");
  // Events keep the capture, which is over.
  capture->invalid = true;
  if (unjoined) refuse(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "a stream that was forked was not joined");
  return driver().graphs.add(capture->graph);
}

}  // namespace simulator::driver
