#include "engine/device.h"

#include <chrono>

namespace diffuse {

Executor::Executor() {
  thread_ = std::thread([state = state_] {
    std::unique_lock lock(state->mutex);
    while (true) {
      state->wake.wait(lock, [&] { return state->stopping || !state->jobs.empty(); });
      if (state->stopping) return state->ended.set_value();
      auto job = std::move(state->jobs.front());
      state->jobs.pop_front();
      lock.unlock();
      job();
      job = nullptr;  // release what the job holds before taking the lock
      lock.lock();
    }
  });
}

Executor::~Executor() { stop(); }

void Executor::submit(std::function<void()> job) {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->stopping) return;
    state_->jobs.push_back(std::move(job));
  }
  state_->wake.notify_one();
}

void Executor::stop() {
  std::deque<std::function<void()>> dropped;
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    dropped.swap(state_->jobs);
  }
  state_->wake.notify_one();
  if (!thread_.joinable()) return;
  // The last handle can die on the executor's own thread, at the end of a job: nobody is left who could join it then.
  if (thread_.get_id() == std::this_thread::get_id())
    thread_.detach();
  else
    thread_.join();
}

namespace {

// For devices whose calls have been computed when launch() returns.
class HostStopwatch final : public Stopwatch {
 public:
  void start() override { begin_ = Clock::now(); }
  void stop() override {
    milliseconds_.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin_).count());
  }
  std::vector<double> milliseconds() override { return milliseconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begin_;
  std::vector<double> milliseconds_;
};

}  // namespace

std::unique_ptr<Recording> Device::record(const std::vector<RecordedCall>&, const double*, size_t) { return nullptr; }

std::unique_ptr<Stopwatch> Device::stopwatch(size_t) { return std::make_unique<HostStopwatch>(); }

}  // namespace diffuse
