// Sizes as people write and read them: 512M, 10 GiB. Used for wsoctl's options and tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wso::wsoctl {

// A disk size as qemu-img reads it: a whole number with K, M, G or T (powers of 1024; "MiB" and "m"
// are fine too), or bytes without one. Throws Errc::invalid_argument for anything else, for zero
// and for what does not fit the wire (2^63 - 1 bytes).
std::uint64_t parse_size(std::string_view text);

// The same in KiB; here the unit is required, since "512" could be anything from bytes to MiB.
std::uint64_t parse_memory_kib(std::string_view text);

// "512 MiB", "1.4 GiB"; rounded down to a tenth of the unit.
std::string format_size(std::uint64_t bytes);

}  // namespace wso::wsoctl
