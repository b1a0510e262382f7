// IPv4 addresses, subnets and MAC addresses as values.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace wso::net {

struct Ipv4Address {
  std::uint32_t value = 0;  // host byte order
  // clang-tidy 14 takes the 0 that `<` compares the result with for a pointer.
  auto operator<=>(const Ipv4Address&) const = default;  // NOLINT(modernize-use-nullptr)
};

std::string to_string(Ipv4Address address);
// "192.168.100.1": four decimal numbers, nothing else. Throws Errc::invalid_argument.
Ipv4Address parse_ipv4(std::string_view text);

struct Ipv4Subnet {
  Ipv4Address base;       // host bits are zero
  int prefix_length = 0;  // 0 to 32
  auto operator<=>(const Ipv4Subnet&) const = default;

  [[nodiscard]] bool contains(Ipv4Address address) const;
  [[nodiscard]] bool overlaps(const Ipv4Subnet& other) const;
  [[nodiscard]] Ipv4Address broadcast() const;
};

std::string to_string(const Ipv4Subnet& subnet);
// "192.168.100.0/24"; host bits that are set are an error, as a typing mistake is likely.
Ipv4Subnet parse_ipv4_subnet(std::string_view text);

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};
  auto operator<=>(const MacAddress&) const = default;
};

std::string to_string(const MacAddress& mac);  // "52:54:00:12:34:56"
MacAddress parse_mac(std::string_view text);   // throws Errc::invalid_argument

}  // namespace wso::net
