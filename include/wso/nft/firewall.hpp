// The table `inet wso`: loaded whole from ruleset.nft, then changed only by adding and removing the
// set elements that stand for a domain. Synchronous, not for two threads at once.
#pragma once

#include <cstdint>
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

// Could a text of nft's language hold it?
bool is_valid(const Guest& guest);

// ruleset.nft and guard.nft as compiled in.
std::string_view ruleset();
std::string_view guard();

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

// The guests in nft's JSON listing of the table; elements that stand for no guest, or for half of
// one, are passed over. Throws Errc::protocol for what is no listing.
std::vector<Guest> guests_in(std::string_view listing);

class Firewall {
 public:
  // Opens the netlink socket in the namespace of the calling thread.
  Firewall();

  // Atomic: packets see the old table or the new one. Errc::kernel with nft's own words, and what
  // to do when the kernel has no nf_tables or refuses permission.
  void replace_table(std::string_view subnet, const std::vector<Guest>& guests);
  void add_guest(const Guest& guest);
  // Adds those of its elements that are not there; false if all are. Reads the table's elements: 2
  // microseconds for each.
  bool mend_guest(const Guest& guest);
  // False if one of its elements (or the table) was not there; the others are removed all the same.
  bool remove_guest(const Guest& guest);
  // Deletes the table; false if there was none.
  bool remove_table();
  // nft's JSON listing of the table; for tests and `doctor`.
  std::string list_json();
  // Those that the kernel's table has; none without a table.
  std::vector<Guest> guests();

  // The table `inet wso-guard`, see guard.nft: for links of this group, as long as this object
  // lives. False if a guard of somebody else is there.
  bool put_guard(std::uint32_t link_group);
  void remove_guard();

  // The port of its netlink socket, by which the kernel's notifications name who made a change.
  [[nodiscard]] std::uint32_t port() const { return port_; }

 private:
  struct Closer {
    void operator()(nft_ctx* context) const;
  };
  // The text that nft printed; throws refusal(). `output_flags`: NFT_CTX_OUTPUT_*.
  std::string run(const std::string& command, unsigned int output_flags = 0);

  std::unique_ptr<nft_ctx, Closer> context_;
  std::uint32_t port_ = 0;
};

}  // namespace wso::nft
