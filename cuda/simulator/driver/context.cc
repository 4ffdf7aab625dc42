#include "driver/context.h"

#include <algorithm>
#include <utility>

#include "driver/driver.h"

namespace simulator::driver {

bool Operation::may_begin() const {
  return std::all_of(after.begin(), after.end(), [](const auto& mark) { return mark->passed; });
}

std::vector<size_t> Operation::ready() const {
  std::vector<size_t> nodes;
  for (size_t node = 0; node < plan->size(); node++) {
    const auto& before = (*plan)[node].after;
    if (!done[node] && std::all_of(before.begin(), before.end(), [&](size_t index) { return done[index]; }))
      nodes.push_back(node);
  }
  return nodes;
}

Context::Context(int ordinal, const Profile& profile, const Configuration& configuration)
    : ordinal(ordinal),
      profile(profile),
      memory_bytes(configuration.memory_bytes ? configuration.memory_bytes : profile.memory_bytes),
      memory(std::make_unique<memory::DeviceMemory>(memory_bytes, ordinal, configuration.execute)),
      random(configuration.seed + ordinal) {
  legacy.context = this;
}

std::vector<const Stream*> Context::all_streams() const {
  std::vector<const Stream*> all{&legacy};
  for (const auto& entry : of_threads) all.push_back(entry.second.get());
  for (const auto& stream : streams) all.push_back(stream.get());
  return all;
}

std::vector<Stream*> Context::all_streams() {
  std::vector<Stream*> all;
  for (const Stream* stream : std::as_const(*this).all_streams()) all.push_back(const_cast<Stream*>(stream));
  return all;
}

std::shared_ptr<Operation> Context::queue(Stream& stream, std::shared_ptr<const Plan> plan,
                                          std::vector<std::shared_ptr<Mark>> after) {
  auto operation = std::make_shared<Operation>();
  operation->plan = std::move(plan);
  operation->after = std::move(after);
  operation->done.resize(operation->plan->size());
  operation->left = operation->plan->size();
  // The legacy stream waits for all blocking streams, and they for it.
  for (Stream* other : all_streams()) {
    const bool ordered = &stream == &legacy ? other->blocking() : other == &legacy && stream.blocking();
    if (ordered && other != &stream && other->last && !other->last->passed) operation->after.push_back(other->last);
  }
  stream.queue.push_back(operation);
  stream.last = operation->mark;
  return operation;
}

std::shared_ptr<Operation> Context::queue(Stream& stream, std::shared_ptr<const Work> work,
                                          std::vector<std::shared_ptr<Mark>> after) {
  auto plan = std::make_shared<Plan>();
  plan->push_back({std::move(work), {}});
  return queue(stream, std::shared_ptr<const Plan>(std::move(plan)), std::move(after));
}

void Context::run(Stream& stream, const std::shared_ptr<Operation>& operation, size_t node) {
  stream.busy = true;
  if (operation->left > 0) {
    try {
      microseconds += (*operation->plan)[node].work->run(*this);
    } catch (const Fault& fault) {
      failed = fault.code;
      stream.busy = false;
      abandon();
      return;
    }
    operation->done[node] = true;
    operation->left--;
  }
  stream.busy = false;
  if (operation->left > 0) return;
  operation->mark->passed = true;
  operation->mark->microseconds = microseconds;
  // It may have been abandoned while the host was called.
  if (!stream.queue.empty() && stream.queue.front() == operation) stream.queue.pop_front();
  streams.erase(std::remove_if(streams.begin(), streams.end(),
                               [](const auto& each) { return each->destroyed && each->queue.empty() && !each->busy; }),
                streams.end());
}

bool Context::advance() {
  struct Candidate {
    Stream* stream;
    size_t node;
  };
  std::vector<Candidate> candidates;
  for (Stream* stream : all_streams()) {
    if (stream->busy || stream->queue.empty() || !stream->queue.front()->may_begin()) continue;
    const Operation& operation = *stream->queue.front();
    if (operation.left == 0) candidates.push_back({stream, 0});
    for (const size_t node : operation.ready()) candidates.push_back({stream, node});
  }
  if (candidates.empty()) return false;
  const Candidate chosen = candidates[random.below(candidates.size())];
  // Held here, because the host may be called while it runs.
  const std::shared_ptr<Operation> operation = chosen.stream->queue.front();
  run(*chosen.stream, operation, chosen.node);
  return true;
}

void Context::drift() {
  if (random.below(4) != 0) return;
  for (size_t steps = random.below(4); steps > 0 && advance();) steps--;
}

void Context::finish(const std::shared_ptr<Mark>& mark) {
  while (mark && !mark->passed) {
    if (!driver().advance(*this)) refuse(CUDA_ERROR_UNKNOWN, "a stream waits for what never happens");
  }
}

void Context::finish_all() {
  while (!idle()) {
    if (!driver().advance(*this)) refuse(CUDA_ERROR_UNKNOWN, "a stream waits for what never happens");
  }
}

bool Context::idle() const {
  const auto all = all_streams();
  return std::all_of(all.begin(), all.end(), [](const Stream* stream) { return stream->queue.empty(); });
}

void Context::abandon() {
  for (Stream* stream : all_streams()) {
    for (const auto& operation : stream->queue) operation->mark->passed = true;
    stream->queue.clear();
  }
}

bool Context::any_queued(HostRange (Work::*of)() const, const HostRange& range) const {
  for (const Stream* stream : all_streams()) {
    for (const auto& operation : stream->queue) {
      for (const Node& node : *operation->plan) {
        if ((node.work.get()->*of)().overlaps(range)) return true;
      }
    }
  }
  return false;
}

bool Context::will_read(const HostRange& range) const { return any_queued(&Work::reads, range); }
bool Context::will_write(const HostRange& range) const { return any_queued(&Work::writes, range); }

void Context::clear() {
  abandon();
  Driver& all = driver();
  const auto ours = [this](const auto& object) { return object.context == this; };
  all.graph_execs.remove_if(ours);
  all.graphs.remove_if(ours);
  all.events.remove_if(ours);
  all.functions.remove_if(ours);
  all.modules.remove_if(ours);
  all.streams.remove_if(ours);
  std::erase_if(all.host_memory.ranges(), [&](const auto& range) { return range.second.context == this; });
  for (const memory::Allocation* allocation : memory->live()) memory->release(allocation->address);
  streams.clear();
  of_threads.clear();
  legacy = Stream();
  legacy.context = this;
  limits.clear();
  stream_ordered.clear();
  failed = CUDA_SUCCESS;
}

}  // namespace simulator::driver
