// Reads and writes sizes with whole numbers only: a rounded disk size would be another size.
#include "size.hpp"

#include <array>
#include <charconv>
#include <limits>

#include <wso/base/error.hpp>

namespace wso::wsoctl {
namespace {

constexpr std::uint64_t bytes_max = std::numeric_limits<std::int64_t>::max();
constexpr std::string_view units = "KMGT";

// The power of 1024 that "G", "g" or "GiB" stands for; empty is 0.
int parse_unit(std::string_view word) {
  if (word.empty()) return 0;
  const char letter = static_cast<char>(word.front() & ~0x20);  // ASCII upper case
  const auto index = units.find(letter);
  const std::string_view rest = word.substr(1);
  if (index == std::string_view::npos || (!rest.empty() && rest != "iB"))
    throw Error(Errc::invalid_argument, "a size is a whole number with K, M, G or T, such as 512M");
  return static_cast<int>(index) + 1;
}

struct Size {
  std::uint64_t bytes = 0;
  bool has_unit = false;
};

Size parse(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::invalid_argument)
    throw Error(Errc::invalid_argument,
                "a size is a positive whole number with K, M, G or T, such as 512M");
  const int power = parse_unit(text.substr(static_cast<std::size_t>(end - text.data())));
  const std::uint64_t unit = std::uint64_t{1} << (10 * power);
  if (error == std::errc::result_out_of_range || number > bytes_max / unit)
    throw Error(Errc::invalid_argument, "this is more than the largest size, {} bytes", bytes_max);
  if (number == 0) throw Error(Errc::invalid_argument, "a size must be greater than zero");
  return {number * unit, power > 0};
}

}  // namespace

std::uint64_t parse_size(std::string_view text) { return parse(text).bytes; }

std::uint64_t parse_memory_kib(std::string_view text) {
  const Size size = parse(text);
  if (!size.has_unit)
    throw Error(Errc::invalid_argument, "add the unit that is meant, such as {}M or {}G", text,
                text);
  return size.bytes / 1024;
}

std::string format_size(std::uint64_t bytes) {
  static constexpr std::array names{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t power = 0;
  while (power + 1 < names.size() && bytes >> (10 * (power + 1)) != 0) ++power;
  const auto shift = static_cast<unsigned>(10 * power);
  const std::uint64_t whole = bytes >> shift;
  // The remainder is below 2^60, so ten times it fits.
  const std::uint64_t tenths = (bytes - (whole << shift)) * 10 >> shift;
  if (tenths == 0) return fmt::format("{} {}", whole, names[power]);
  return fmt::format("{}.{} {}", whole, tenths, names[power]);
}

}  // namespace wso::wsoctl
