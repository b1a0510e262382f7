#include <gtest/gtest.h>

#include <wso/nft/firewall.hpp>

namespace wso::nft {
namespace {

// A listing with these elements, as nft 1.0.6 writes it.
std::string listing(const std::string& guests, const std::string& bridges,
                    const std::string& closed) {
  const auto set = [](const std::string& name, const std::string& elements) {
    return R"(, {"set": {"family": "inet", "name": ")" + name +
           R"(", "table": "wso", "handle": 1)" +
           (elements.empty() ? "" : R"(, "elem": )" + elements) + "}}";
  };
  return R"({"nftables": [{"metainfo": {"version": "1.0.6"}}, {"table": {"name": "wso"}})" +
         set("bridges", bridges) + set("guests", guests) + set("closed", closed) + "]}";
}

const std::string listed_web = R"({"concat": ["virbrweb", "52:54:00:12:34:56", "192.168.100.7"]})";
const std::string listed_db = R"({"concat": ["virbrdb", "52:54:00:12:34:57", "192.168.100.8"]})";

Errc code_of(const std::string& text) {
  try {
    guests_in(text);
    return Errc::internal;
  } catch (const Error& error) {
    return error.code();
  }
}

TEST(Listing, TellsTheGuests) {
  EXPECT_EQ(guests_in(listing("[" + listed_web + ", " + listed_db + "]",
                              R"(["virbrdb", "virbrweb"])", R"(["virbrdb"])")),
            (std::vector<Guest>{{"virbrweb", "52:54:00:12:34:56", "192.168.100.7", true},
                                {"virbrdb", "52:54:00:12:34:57", "192.168.100.8", false}}));
  EXPECT_TRUE(guests_in(listing("", "", "")).empty());
}

TEST(Listing, HalfAGuestIsNone) {
  EXPECT_TRUE(guests_in(listing("[" + listed_web + "]", R"(["virbrdb"])", "")).empty());
  EXPECT_TRUE(guests_in(listing("", R"(["virbrweb"])", "")).empty());
}

TEST(Listing, WhatIsNoGuestIsPassedOver) {
  const std::string bridges = R"(["virbrweb", 7, {"elem": {"val": "virbrx"}}, null, "a;b"])";
  for (const auto* element :
       {"7", "null", "\"virbrweb\"", "[]", "{}", R"({"concat": 7})", R"({"concat": []})",
        R"({"concat": ["virbrweb", "52:54:00:12:34:56"]})",
        R"({"concat": ["virbrweb", "52:54:00:12:34:56", "192.168.100.7", "more"]})",
        R"({"concat": ["virbrweb", "52:54:00:12:34:56", 7]})",
        R"({"concat": ["virbrweb", "52:54:00:12:34:56", "host.example"]})",
        R"({"concat": ["virbrweb", "no mac", "192.168.100.7"]})",
        R"({"concat": ["a;b", "52:54:00:12:34:56", "192.168.100.7"]})",
        R"({"elem": {"val": {"concat": ["virbrweb", "52:54:00:12:34:56", "192.168.100.7"]}}})"}) {
    const auto guests =
        guests_in(listing("[" + std::string(element) + ", " + listed_web + "]", bridges, ""));
    EXPECT_EQ(guests.size(), 1U) << element;
  }
  for (const auto* elements : {"7", "{}", "\"x\"", "null"})
    EXPECT_TRUE(guests_in(listing(elements, bridges, "")).empty()) << elements;
  EXPECT_TRUE(guests_in(R"({"nftables": [7, null, {"set": 7}, {"set": {}}]})").empty());
}

TEST(Listing, WhatIsNoListingIsRefused) {
  for (const auto* text : {"", "x", "[]", "7", "{}", R"({"nftables": 7})", R"({"nftables": {}})",
                           R"({"nftables": [{"set": {"name": 7}}]})"})
    EXPECT_EQ(code_of(text), Errc::protocol) << text;
}

}  // namespace
}  // namespace wso::nft
