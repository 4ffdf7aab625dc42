// A simulated device and its primary context: memory, streams, and the order in which what they hold is done.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "driver/configuration.h"
#include "driver/random.h"
#include "driver/stream.h"
#include "memory/device_memory.h"
#include "profiles/profiles.h"

namespace simulator::driver {

struct Context {
  Context(int ordinal, const Profile& profile, const Configuration& configuration);

  const int ordinal;
  const Profile& profile;
  const size_t memory_bytes;
  std::unique_ptr<memory::DeviceMemory> memory;
  Random random;

  unsigned flags = 0;
  int retained = 0;
  bool active = false;
  CUresult failed = CUDA_SUCCESS;  // what every call returns until the context is reset
  double microseconds = 0;         // the reckoned clock

  Stream legacy;
  std::map<std::thread::id, std::shared_ptr<Stream>> of_threads;  // CU_STREAM_PER_THREAD
  std::vector<std::shared_ptr<Stream>> streams;                   // created ones, and destroyed ones with a queue
  std::map<CUlimit, size_t> limits;
  std::set<uint64_t> stream_ordered;  // allocations of cuMemAllocAsync

  CUcontext handle() { return reinterpret_cast<CUcontext>(this); }

  // Queues a plan, or a plan of one node.
  std::shared_ptr<Operation> queue(Stream& stream, std::shared_ptr<const Plan> plan,
                                   std::vector<std::shared_ptr<Mark>> after = {});
  std::shared_ptr<Operation> queue(Stream& stream, std::shared_ptr<const Work> work,
                                   std::vector<std::shared_ptr<Mark>> after = {});
  // Runs one node that may run, of a stream that chance chooses. False if there is none.
  bool advance();
  // Lets a few nodes run, or none.
  void drift();
  // Runs until the mark is passed, or everything that is queued is done.
  void finish(const std::shared_ptr<Mark>& mark);
  void finish_all();
  bool idle() const;
  // Drops all that is queued.
  void abandon();
  // Whether host memory will be read, or written, by what is queued.
  bool will_read(const HostRange& range) const;
  bool will_write(const HostRange& range) const;
  // Destroys all that the context holds.
  void clear();

  std::vector<Stream*> all_streams();
  std::vector<const Stream*> all_streams() const;

 private:
  void run(Stream& stream, const std::shared_ptr<Operation>& operation, size_t node);
  bool any_queued(HostRange (Work::*of)() const, const HostRange& range) const;
};

}  // namespace simulator::driver
