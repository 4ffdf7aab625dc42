// The worker team: each index once, whatever the number of threads, jobs and naps in between; cancellation; many teams.
#include "engine/workers.h"

#include <chrono>
#include <memory>

#include "tests/harness.h"

namespace diffuse::testing {
namespace {

struct Job {
  std::vector<std::atomic<int>> runs;
  std::atomic<int> bad_threads{0};
  int threads = 0;
  explicit Job(int64_t count) : runs(static_cast<size_t>(count)) {}

  static void task(void* context, int64_t index, int thread) {
    Job& job = *static_cast<Job*>(context);
    job.runs[static_cast<size_t>(index)]++;
    if (thread < 0 || thread >= job.threads) job.bad_threads++;
  }
};

void expect_each_index_once(Workers& workers, int64_t count) {
  Job job(count);
  job.threads = workers.threads();
  workers.run(count, Job::task, &job);
  for (int64_t i = 0; i < count; i++) {
    int runs = job.runs[static_cast<size_t>(i)];
    check(runs == 1, text("%d threads, %lld tasks: task %lld ran %d times", workers.threads(),
                          static_cast<long long>(count), static_cast<long long>(i), runs));
  }
  check(job.bad_threads == 0, "a task was given a thread number outside [0, threads)");
}

constexpr int kThreadCounts[] = {1, 2, 3, 5};

}  // namespace

TEST(workers_run_each_task_once) {
  for (int threads : kThreadCounts) {
    Workers workers(threads);
    check(workers.threads() == threads, text("a team of %d says it has %d threads", threads, workers.threads()));
    for (int64_t count : {0, 1, 2, 3, 7, 64, 1000}) expect_each_index_once(workers, count);
  }
}

TEST(workers_run_many_tiny_jobs) {
  for (int threads : kThreadCounts) {
    Workers workers(threads);
    for (int job = 0; job < 3000; job++) expect_each_index_once(workers, job % 6);
  }
}

TEST(workers_see_what_the_caller_wrote) {
  // Plain memory, ordered by run() alone: each job adds up what the one before it wrote.
  Workers workers(3);
  std::vector<int64_t> values(101, 1), next(101);
  struct Step {
    std::vector<int64_t>*from, *to;
  } step{&values, &next};
  for (int job = 0; job < 200; job++) {
    workers.run(
        101,
        [](void* context, int64_t i, int) {
          const Step& s = *static_cast<Step*>(context);
          size_t at = static_cast<size_t>(i), other = (at + 37) % 101;
          (*s.to)[at] = ((*s.from)[at] + (*s.from)[other]) % 1000003;
        },
        &step);
    std::swap(step.from, step.to);
  }
  for (int64_t value : *step.from) check(value == (*step.from)[0], "tasks read stale values of the job before");
}

TEST(workers_wake_from_sleep) {
  Workers workers(3);
  for (int i = 0; i < 5; i++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    expect_each_index_once(workers, 50);
  }
}

TEST(workers_stop_when_cancelled) {
  for (int threads : kThreadCounts) {
    Workers workers(threads);
    struct Context {
      std::atomic<bool> cancelled{false};
      std::atomic<int64_t> runs{0};
    } context;
    workers.watch(&context.cancelled);
    const int64_t count = 1000000;
    workers.run(
        count,
        [](void* at, int64_t, int) {
          Context& c = *static_cast<Context*>(at);
          if (++c.runs == 10) c.cancelled = true;
        },
        &context);
    check(context.runs >= 10 && context.runs < count,
          text("%d threads: %lld of %lld tasks ran after a cancellation in the tenth", threads,
               static_cast<long long>(context.runs), static_cast<long long>(count)));
    context.cancelled = false;
    expect_each_index_once(workers, 100);
    workers.watch(nullptr);
    context.cancelled = true;
    expect_each_index_once(workers, 100);
  }
}

TEST(worker_teams_come_and_go) {
  for (int i = 0; i < 50; i++) Workers idle(1 + i % 5);
  auto first = std::make_unique<Workers>(2), second = std::make_unique<Workers>(3);
  for (int i = 0; i < 100; i++) {
    expect_each_index_once(*first, 9);
    expect_each_index_once(*second, 9);
  }
  first.reset();
  expect_each_index_once(*second, 9);
}

}  // namespace diffuse::testing
