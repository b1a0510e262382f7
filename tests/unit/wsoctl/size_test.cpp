// Sizes: which are read, which are refused and how they are shown.
#include "size.hpp"

#include <gtest/gtest.h>

#include <wso/base/error.hpp>

namespace wso::wsoctl {
namespace {

constexpr std::uint64_t kib = 1024;

template <typename Parse>
std::string refusal(Parse parse, std::string_view text) {
  try {
    parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::invalid_argument);
    return error.what();
  }
  ADD_FAILURE() << "not refused: " << text;
  return {};
}

TEST(ParseSize, KnowsUnits) {
  EXPECT_EQ(parse_size("1"), 1U);
  EXPECT_EQ(parse_size("512K"), 512 * kib);
  EXPECT_EQ(parse_size("512M"), 512 * kib * kib);
  EXPECT_EQ(parse_size("10G"), 10 * kib * kib * kib);
  EXPECT_EQ(parse_size("2T"), 2 * kib * kib * kib * kib);
  EXPECT_EQ(parse_size("007m"), 7 * kib * kib);
  EXPECT_EQ(parse_size("512MiB"), 512 * kib * kib);
}

TEST(ParseSize, GoesUpToTheLargest) {
  EXPECT_EQ(parse_size("9223372036854775807"), 9223372036854775807U);
  EXPECT_EQ(parse_size("8388607T"), 8388607 * kib * kib * kib * kib);
  for (const char* text : {"9223372036854775808", "18446744073709551616", "8388608T",
                           "9007199254740992K", "99999999999999999999999999G"})
    EXPECT_NE(refusal(parse_size, text).find("largest size"), std::string::npos) << text;
}

TEST(ParseSize, RefusesZero) {
  for (const char* text : {"0", "0M", "000", "0T"})
    EXPECT_EQ(refusal(parse_size, text), "a size must be greater than zero");
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text : {"",      " ",    "M",     "-1",   "-5G",   "+5G", "1.5G", "5 G", " 5G",
                           "5G ",   "5X",   "5GB",   "5Gi",  "5GG",   "5kb", "0x10", "1e3", "5E",
                           "5\x80", "\xff", "5\x0b", "five", "5GiBs", "inf", "nan"})
    EXPECT_NE(refusal(parse_size, text).find("whole number with K, M, G or T"), std::string::npos)
        << text;
}

TEST(ParseMemory, IsInKib) {
  EXPECT_EQ(parse_memory_kib("512M"), 512 * kib);
  EXPECT_EQ(parse_memory_kib("1k"), 1U);
}

TEST(ParseMemory, NeedsAUnit) {
  EXPECT_EQ(refusal(parse_memory_kib, "512"), "add the unit that is meant, such as 512M or 512G");
}

TEST(ParseMemory, RefusesWhatIsNoSize) {
  for (const char* text : {"", "0", "0M", "-1M", "1.5G", "99999999T", "M"})
    EXPECT_NE(refusal(parse_memory_kib, text), "") << text;
}

TEST(FormatSize, TakesTheLargestUnit) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1024), "1 KiB");
  EXPECT_EQ(format_size(512 * kib * kib), "512 MiB");
  EXPECT_EQ(format_size(10 * kib * kib * kib), "10 GiB");
}

TEST(FormatSize, RoundsDownToATenth) {
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_size(1024 + 102), "1 KiB");
  EXPECT_EQ(format_size(1024 + 103), "1.1 KiB");
  EXPECT_EQ(format_size(kib * kib - 1), "1023.9 KiB");
  EXPECT_EQ(format_size(std::numeric_limits<std::uint64_t>::max()), "15.9 EiB");
}

}  // namespace
}  // namespace wso::wsoctl
