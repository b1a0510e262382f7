// The text that nft is given: whole transactions against golden files (WSO_REGENERATE=1 writes them
// anew; the diff is then to be read), and what must never get into one.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include <wso/nft/firewall.hpp>

namespace wso::nft {
namespace {

using std::string_literals::operator""s;

const Guest web{"virbrweb", "52:54:00:12:34:56", "192.168.100.7", true};
const Guest closed_off{"virbr3332a2", "52:54:00:ab:CD:ef", "192.168.100.229", false};

void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(WSO_GOLDEN_DIR) + "/" + name;
  if (std::getenv("WSO_REGENERATE") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

TEST(ElementsTest, ReplaceTable) {
  expect_golden("replace_table.nft", replace_table_command("192.168.100.0/24", {web, closed_off}));
}

TEST(ElementsTest, TheTableWithoutGuestsIsTheSameWithoutTheirElements) {
  const std::string without = replace_table_command("192.168.100.0/24", {});
  const std::string with = replace_table_command("192.168.100.0/24", {web, closed_off});
  EXPECT_TRUE(without.ends_with("add element inet wso subnets { 192.168.100.0/24 }\n"));
  EXPECT_EQ(with, without + add_guest_command(web) + add_guest_command(closed_off));
}

TEST(ElementsTest, AddGuest) {
  expect_golden("add_guest.nft", add_guest_command(web) + "\n" + add_guest_command(closed_off));
}

TEST(ElementsTest, RemoveGuest) {
  expect_golden("remove_guest.nft",
                remove_guest_command(web) + "\n" + remove_guest_command(closed_off));
}

// Adding first is what makes the deletion succeed; a closed bridge is opened too, as the setting
// may have changed since.
TEST(ElementsTest, PurgeGuest) { expect_golden("purge_guest.nft", purge_guest_command(web)); }

void expect_refused(const Guest& guest) {
  for (const auto& command : {add_guest_command, remove_guest_command, purge_guest_command}) {
    try {
      ADD_FAILURE() << "accepted: " << command(guest);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::invalid_argument);
    }
  }
  EXPECT_THROW(replace_table_command("192.168.100.0/24", {web, guest}), Error);
}

TEST(ElementsTest, ABridgeNameCannotSpeakToNft) {
  for (const auto& name :
       {""s, "a\" }; flush ruleset; #"s, "virbr\"1"s, "virbr*"s, "virbr\\*"s, "virbr 1"s,
        "virbr;1"s, "virbr}"s, "virbr\n1"s, "virbr\0"s, "@bridges"s, "$name"s, "virbr1/2"s,
        "virbr#"s, "virbr\xc3\xa9"s, "sixteen_letters_"s, std::string(4096, 'a')}) {
    Guest guest = web;
    guest.bridge_name = name;
    expect_refused(guest);
  }
}

TEST(ElementsTest, AMacIsSixBytes) {
  for (const auto& mac :
       {""s, "52:54:00:12:34"s, "52:54:00:12:34:5"s, "52:54:00:12:34:56 "s, "52:54:00:12:34:5g"s,
        "52-54-00-12-34-56"s, "52:54:00:12:34:56, *"s, "525:4:00:12:34:56"s, ":2:54:00:12:34:56"s,
        "52:54:00:12:34:5\0"s, "00:00:00:00:00:00-ff:ff:ff:ff:ff:ff"s}) {
    Guest guest = web;
    guest.mac_address = mac;
    expect_refused(guest);
  }
}

TEST(ElementsTest, AnAddressIsFourNumbers) {
  for (const auto& ip :
       {""s, "0.0.0.0/0"s, "192.168.100.7-192.168.100.9"s, "192.168.100"s, "192.168.100.256"s,
        "192.168.100.07"s, "192.168.100.7 "s, "192.168.100.7\0"s, "192.168.100.7, 10.0.0.1"s,
        "gateway.example"s, "*"s, "::1"s, "192.168.100.7 }; flush ruleset"s, "3232261127"s}) {
    Guest guest = web;
    guest.ip_address = ip;
    expect_refused(guest);
  }
}

TEST(ElementsTest, ASubnetIsAnAddressAndALength) {
  for (const auto& subnet :
       {""s, "192.168.100.0"s, "192.168.100.0/"s, "192.168.100.0/33"s, "192.168.100.0/-1"s,
        "192.168.100.0/240"s, "192.168.100.0/24 "s, "192.168.100.0/24, 10.0.0.0/8"s, "/24"s,
        "x/24"s, "192.168.100.0/24 }; flush ruleset"s, "192.168.100.0/24\0"s})
    EXPECT_THROW(replace_table_command(subnet, {}), Error) << subnet;
}

}  // namespace
}  // namespace wso::nft
