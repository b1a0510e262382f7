#include <wso/nft/firewall.hpp>

namespace wso::nft {
namespace {

bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

// nft prints the reason, then the command with the place underlined, and so on for each command of
// the transaction: the first line is the reason.
std::string_view first_reason(std::string_view printed) {
  printed = printed.substr(0, printed.find('\n'));
  constexpr std::string_view mark = "Error: ";
  if (const auto start = printed.find(mark); start != printed.npos)
    printed.remove_prefix(start + mark.size());
  return printed.empty() ? "nft gives no reason" : printed;
}

}  // namespace

Error refusal(std::string_view printed) {
  const std::string_view reason = first_reason(printed);
  if (has(reason, "Operation not permitted"))
    return {Errc::permission, "firewall: {}: run as root (CAP_NET_ADMIN)", reason};
  if (has(reason, "No such file or directory")) return {Errc::not_found, "firewall: {}", reason};
  // The third is what nfnetlink says to a first question about a subsystem that is not there.
  if (has(reason, "Protocol not supported") || has(reason, "Operation not supported") ||
      has(reason, "cache initialization failed: Invalid argument"))
    return {Errc::kernel,
            "firewall: {}: this kernel has no nf_tables: load the module nf_tables (modprobe "
            "nf_tables) or boot a kernel that has it",
            reason};
  return {Errc::kernel, "firewall: {}", reason};
}

}  // namespace wso::nft
