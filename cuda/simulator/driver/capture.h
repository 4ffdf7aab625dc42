// How calls reach a stream: queued, or recorded while it captures.
#pragma once

#include <memory>

#include "driver/driver.h"

namespace simulator::driver {

// Of the context: null and CU_STREAM_LEGACY, CU_STREAM_PER_THREAD, or one that was created.
Stream& stream_at(Context& context, CUstream handle);

// Queues work, or makes it a node of the graph that is being captured.
void issue(Stream& stream, std::shared_ptr<const Work> work);

// What a captured stream has come to: null if it does not capture. Refuses if the capture is no longer valid.
const std::shared_ptr<Capture>& valid_capture(Stream& stream);

// For calls that a capture does not survive: on the stream, on any stream of the context, and of those that might
// synchronise with anything (the global and the thread's own mode of capture forbid them).
void refuse_while_capturing(Stream& stream);
void refuse_while_capturing(Context& context);
void refuse_if_unsafe(Driver& all);
// The legacy stream would wait for blocking streams, which cannot be waited for while they capture.
void refuse_implicit(Stream& stream);

CUgraph end_capture(Stream& stream);

}  // namespace simulator::driver
