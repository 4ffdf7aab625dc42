// Handles that programs hold. They are numbers that are never used again, so that the use of a destroyed object is
// seen.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_set>
#include <vector>

#include "driver/refusal.h"

namespace simulator::driver {

// Unique in the process; looks like a pointer, and faults when used as one.
uintptr_t next_handle();

// The objects of one kind, in the order of their creation.
template <typename Object, typename Handle>
class Table {
 public:
  // `what` names an object in messages, e.g. "stream".
  explicit Table(const char* what) : what_(what) {}

  Handle add(std::shared_ptr<Object> object) {
    const uintptr_t value = next_handle();
    live_.emplace(value, std::move(object));
    return reinterpret_cast<Handle>(value);
  }

  const std::shared_ptr<Object>& at(Handle handle) const {
    const auto found = live_.find(reinterpret_cast<uintptr_t>(handle));
    if (found != live_.end()) return found->second;
    if (destroyed_.count(reinterpret_cast<uintptr_t>(handle)))
      refuse_misuse(CUDA_ERROR_INVALID_HANDLE, "the %s was destroyed before", what_);
    refuse_misuse(CUDA_ERROR_INVALID_HANDLE, "%p is no %s", static_cast<void*>(handle), what_);
  }

  std::shared_ptr<Object> remove(Handle handle) {
    std::shared_ptr<Object> object = at(handle);
    live_.erase(reinterpret_cast<uintptr_t>(handle));
    destroyed_.insert(reinterpret_cast<uintptr_t>(handle));
    return object;
  }

  // Destroys all objects for which `condition` holds.
  template <typename Condition>
  void remove_if(Condition condition) {
    for (auto entry = live_.begin(); entry != live_.end();) {
      if (condition(*entry->second)) {
        destroyed_.insert(entry->first);
        entry = live_.erase(entry);
      } else {
        ++entry;
      }
    }
  }

  template <typename Condition>
  size_t count_if(Condition condition) const {
    size_t count = 0;
    for (const auto& entry : live_) count += condition(*entry.second);
    return count;
  }

  const char* what() const { return what_; }

 private:
  const char* what_;
  std::map<uintptr_t, std::shared_ptr<Object>> live_;
  std::unordered_set<uintptr_t> destroyed_;
};

}  // namespace simulator::driver
