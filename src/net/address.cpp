#include <algorithm>
#include <charconv>
#include <optional>

#include <wso/base/error.hpp>
#include <wso/net/address.hpp>

namespace wso::net {
namespace {

std::uint32_t mask_of(int prefix_length) {
  return prefix_length == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix_length);
}

// Decimal digits alone; no leading zero, which some programs read as octal.
std::optional<std::uint32_t> parse_decimal(std::string_view text, std::uint32_t max) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || value > max || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  return value;
}

std::optional<Ipv4Address> try_parse_ipv4(std::string_view text) {
  if (std::count(text.begin(), text.end(), '.') != 3) return std::nullopt;
  Ipv4Address address;
  for (int i = 0; i < 4; ++i) {
    const std::string_view part = text.substr(0, text.find('.'));
    text.remove_prefix(std::min(part.size() + 1, text.size()));
    const auto byte = parse_decimal(part, 255);
    if (!byte) return std::nullopt;
    address.value = address.value << 8 | *byte;
  }
  return address;
}

}  // namespace

std::string to_string(Ipv4Address address) {
  const std::uint32_t v = address.value;
  return fmt::format("{}.{}.{}.{}", v >> 24, v >> 16 & 255, v >> 8 & 255, v & 255);
}

Ipv4Address parse_ipv4(std::string_view text) {
  const auto address = try_parse_ipv4(text);
  if (!address)
    throw Error(Errc::invalid_argument, "\"{}\" is not an IPv4 address such as 192.168.100.1",
                text);
  return *address;
}

bool Ipv4Subnet::contains(Ipv4Address address) const {
  return (address.value & mask_of(prefix_length)) == base.value;
}

bool Ipv4Subnet::overlaps(const Ipv4Subnet& other) const {
  return prefix_length <= other.prefix_length ? contains(other.base) : other.contains(base);
}

Ipv4Address Ipv4Subnet::broadcast() const { return {base.value | ~mask_of(prefix_length)}; }

std::string to_string(const Ipv4Subnet& subnet) {
  return fmt::format("{}/{}", to_string(subnet.base), subnet.prefix_length);
}

Ipv4Subnet parse_ipv4_subnet(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = try_parse_ipv4(text.substr(0, slash));
  const auto prefix_length =
      slash == std::string_view::npos ? std::nullopt : parse_decimal(text.substr(slash + 1), 32);
  if (!address || !prefix_length)
    throw Error(Errc::invalid_argument, "\"{}\" is not an IPv4 subnet such as 192.168.100.0/24",
                text);
  const int length = static_cast<int>(*prefix_length);
  const Ipv4Subnet subnet{{address->value & mask_of(length)}, length};
  if (subnet.base != *address)
    throw Error(Errc::invalid_argument, "\"{}\" is an address inside a subnet: write {}", text,
                to_string(subnet));
  return subnet;
}

std::string to_string(const MacAddress& mac) {
  return fmt::format("{:02x}", fmt::join(mac.bytes, ":"));
}

MacAddress parse_mac(std::string_view text) {
  const Error malformed(Errc::invalid_argument,
                        "\"{}\" is not a MAC address such as 52:54:00:12:34:56", text);
  MacAddress mac;
  if (text.size() != 3 * mac.bytes.size() - 1) throw malformed;
  for (std::size_t i = 0; i < mac.bytes.size(); ++i) {
    const char* digits = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(digits, digits + 2, mac.bytes[i], 16);
    if (error != std::errc() || end != digits + 2) throw malformed;
    if (i + 1 < mac.bytes.size() && *end != ':') throw malformed;
  }
  return mac;
}

}  // namespace wso::net
