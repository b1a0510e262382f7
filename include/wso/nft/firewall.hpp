// The table `inet wso`: loaded whole from ruleset.nft, then changed only by adding and removing the
// set elements that stand for a domain. Synchronous, not for two threads at once.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <wso/base/error.hpp>

struct nft_ctx;

namespace wso::nft {

// What one domain is to the ruleset. Only characters that a link name, a MAC and an IPv4 address
// have; the writer of the text (elements.cpp) refuses any other.
struct Guest {
  std::string bridge_name;
  std::string mac_address;
  std::string ip_address;
  bool may_use_host = true;  // false: guest_to_host = "deny"
  bool operator==(const Guest&) const = default;
};

// ruleset.nft as compiled in.
std::string_view ruleset();

// Pure text in nft's language; each is one transaction.
// Replaces the whole table, if there is one, by the ruleset with this subnet and these guests.
std::string replace_table_command(std::string_view subnet, const std::vector<Guest>& guests);
std::string add_guest_command(const Guest& guest);
std::string remove_guest_command(const Guest& guest);
// Removes whatever there is of the guest, be it all, some or none of its elements.
std::string purge_guest_command(const Guest& guest);

// What nft printed about a failure, as one sentence that says what to do: Errc::not_found for
// ENOENT, Errc::permission for EPERM, else Errc::kernel.
Error refusal(std::string_view printed);

class Firewall {
 public:
  // Opens the netlink socket in the namespace of the calling thread.
  Firewall();

  // Atomic: packets see the old table or the new one. Errc::kernel with nft's own words, and what
  // to do when the kernel has no nf_tables or refuses permission.
  void replace_table(std::string_view subnet, const std::vector<Guest>& guests);
  void add_guest(const Guest& guest);
  // False if one of its elements (or the table) was not there; the others are removed all the same.
  bool remove_guest(const Guest& guest);
  // Deletes the table; false if there was none.
  bool remove_table();
  // nft's JSON listing of the table; for tests and `doctor`.
  std::string list_json();

 private:
  struct Closer {
    void operator()(nft_ctx* context) const;
  };
  // The text that nft printed; throws refusal().
  std::string run(const std::string& command);

  std::unique_ptr<nft_ctx, Closer> context_;
};

}  // namespace wso::nft
