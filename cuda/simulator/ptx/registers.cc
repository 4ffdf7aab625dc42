#include "ptx/registers.h"

namespace simulator::ptx {

RegisterPlaces place_registers(const Body& body) {
  RegisterPlaces places;
  places.slot.assign(body.registers.size(), -1);
  for (size_t i = 0; i < body.registers.size(); i++) {
    places.slot[i] = places.slots;
    places.slots += size_of(body.registers[i].type) == 8 ? 2 : 1;
  }
  return places;
}

int registers_alive_at_once(const Body& body) { return static_cast<int>(body.registers.size()); }

}  // namespace simulator::ptx
