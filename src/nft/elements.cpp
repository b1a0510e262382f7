// What a domain is to the ruleset, as commands in nft's language. Pure text. This is where names
// meet a language: whatever could end a string or a set, or make nft ask a DNS server, is refused.
#include <algorithm>
#include <charconv>
#include <string>

#include <arpa/inet.h>
#include <net/if.h>

#include <wso/base/error.hpp>
#include <wso/nft/firewall.hpp>

namespace wso::nft {
namespace {

constexpr std::string_view digits = "0123456789";
constexpr std::string_view hex_digits = "0123456789abcdefABCDEF";
constexpr std::string_view name_characters =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-";

bool only(std::string_view text, std::string_view allowed) {
  return text.find_first_not_of(allowed) == text.npos;
}

bool is_link_name(std::string_view text) {
  return !text.empty() && text.size() < IFNAMSIZ && only(text, name_characters);
}

bool is_mac(std::string_view text) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (!only(text.substr(i, 1), i % 3 == 2 ? ":" : hex_digits)) return false;
  return true;
}

bool is_ipv4(std::string_view text) {
  in_addr address{};
  return text.find('\0') == text.npos &&
         ::inet_pton(AF_INET, std::string(text).c_str(), &address) == 1;
}

bool is_subnet(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == text.npos || !is_ipv4(text.substr(0, slash))) return false;
  const std::string_view length = text.substr(slash + 1);
  if (length.empty() || length.size() > 2 || !only(length, digits)) return false;
  int value = 0;
  std::from_chars(length.data(), length.data() + length.size(), value);
  return value <= 32;
}

void expect(bool valid, std::string_view text, std::string_view kind) {
  if (!valid) throw Error(Errc::invalid_argument, "firewall: \"{}\" is not {}", text, kind);
}

void expect_valid(const Guest& guest) {
  expect(is_link_name(guest.bridge_name), guest.bridge_name, "the name of a bridge");
  expect(is_mac(guest.mac_address), guest.mac_address, "a MAC address");
  expect(is_ipv4(guest.ip_address), guest.ip_address, "an IPv4 address");
}

std::string bridge_element(const Guest& guest) { return fmt::format("\"{}\"", guest.bridge_name); }

std::string guest_element(const Guest& guest) {
  return fmt::format("\"{}\" . {} . {}", guest.bridge_name, guest.mac_address, guest.ip_address);
}

std::string command(std::string_view verb, std::string_view set, std::string_view elements) {
  return fmt::format("{} element inet wso {} {{ {} }}\n", verb, set, elements);
}

// In one transaction, so that at no moment a bridge is open that has no checked sender.
std::string commands(std::string_view verb, const Guest& guest, bool closed) {
  expect_valid(guest);
  std::string text = command(verb, "bridges", bridge_element(guest)) +
                     command(verb, "guests", guest_element(guest));
  if (closed) text += command(verb, "closed", bridge_element(guest));
  return text;
}

}  // namespace

bool is_valid(const Guest& guest) {
  return is_link_name(guest.bridge_name) && is_mac(guest.mac_address) && is_ipv4(guest.ip_address);
}

std::string replace_table_command(std::string_view subnet, const std::vector<Guest>& guests) {
  expect(is_subnet(subnet), subnet, "an IPv4 subnet");
  // nft 1.0.6 has no "destroy": a table can be deleted without knowing if it is there only after
  // it has been added, which changes nothing if it is.
  std::string text = "add table inet wso\ndelete table inet wso\n";
  text += ruleset();
  text += command("add", "subnets", subnet);
  for (const Guest& guest : guests) text += commands("add", guest, !guest.may_use_host);
  return text;
}

std::string add_guest_command(const Guest& guest) {
  return commands("add", guest, !guest.may_use_host);
}

std::string remove_guest_command(const Guest& guest) {
  return commands("delete", guest, !guest.may_use_host);
}

std::string purge_guest_command(const Guest& guest) {
  return commands("add", guest, true) + commands("delete", guest, true);
}

}  // namespace wso::nft
