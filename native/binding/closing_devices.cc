#include "binding/closing_devices.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <mutex>
#include <vector>

namespace diffuse::binding {

namespace {

class ClosingDevices {
 public:
  static ClosingDevices& instance() {
    // Made when the first device is closed, and so destroyed before the drivers that devices have loaded.
    static ClosingDevices devices;
    return devices;
  }
  void add(const std::shared_ptr<Device>& device) {
    std::lock_guard lock(mutex_);
    const auto has_ended = [](const Closing& other) {
      return other.ended.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    };
    closing_.erase(std::remove_if(closing_.begin(), closing_.end(), has_ended), closing_.end());
    closing_.push_back({device, device->executor().ended()});
  }
  ~ClosingDevices() {
    // A GPU that hangs shall not keep the process.
    const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (const Closing& closing : closing_) {
      if (auto device = closing.device.lock()) {
        // Kept behind the last job; where that takes the device down it is dropped, which ends the waiting too.
        auto last = std::make_shared<std::promise<void>>();
        const std::future<void> done = last->get_future();
        device->executor().submit([last = std::move(last)] { last->set_value(); });
        device.reset();
        done.wait_until(latest);
      }
      if (closing.device.expired()) closing.ended.wait_until(latest);
    }
  }

 private:
  struct Closing {
    std::weak_ptr<Device> device;
    std::shared_future<void> ended;
  };
  std::mutex mutex_;
  std::vector<Closing> closing_;
};

}  // namespace

void let_go(std::shared_ptr<Device> device) { ClosingDevices::instance().add(device); }  // and only then drops it

}  // namespace diffuse::binding
