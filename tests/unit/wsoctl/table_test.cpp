// Tables, and the text that must not reach a terminal.
#include "table.hpp"

#include <gtest/gtest.h>

namespace wso::wsoctl {
namespace {

TEST(FormatTable, AlignsColumns) {
  EXPECT_EQ(
      format_table(
          {{"NAME", "STATE", "PID"}, {"web", "running", "17"}, {"a-long-name", "paused", "4"}}),
      "NAME         STATE    PID\n"
      "web          running  17\n"
      "a-long-name  paused   4\n");
}

TEST(FormatTable, ShowsAnEmptyCell) {
  EXPECT_EQ(format_table({{"NAME", "PID"}, {"", "1"}, {"x", ""}}), "NAME  PID\n-     1\nx     -\n");
}

TEST(FormatTable, OfNothingIsNothing) { EXPECT_EQ(format_table({}), ""); }

TEST(FormatTable, TakesRowsOfDifferentLengths) {
  EXPECT_EQ(format_table({{"A"}, {"BB", "C"}, {}}), "A\nBB  C\n\n");
}

TEST(FormatTable, CountsCharactersRatherThanBytes) {
  EXPECT_EQ(format_table({{"é", "1"}, {"ab", "2"}}), "é   1\nab  2\n");
}

TEST(FormatTable, KeepsCellsOnTheirLine) {
  EXPECT_EQ(format_table({{"a\nb", "\033[31mred"}, {"c", "d"}}), "a b  ?[31mred\nc    d\n");
}

TEST(Printable, KeepsText) {
  for (const char* text : {"", "plain text ~", "é", "日本語", "😀", "\u00a0"})
    EXPECT_EQ(printable(text), text);
}

TEST(Printable, ReplacesControls) {
  EXPECT_EQ(printable("\033]0;title\007"), "?]0;title?");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(printable("a\x7f"), "a?");
  EXPECT_EQ(printable("a\rb\bc"), "a?b?c");
  EXPECT_EQ(printable("\u009b31m"), "?31m");
  for (char c = 1; c < 0x20; ++c)
    EXPECT_EQ(printable(std::string(1, c)), c == '\n' || c == '\t' ? " " : "?") << int{c};
}

TEST(Printable, ReplacesMarksThatReorderALine) {
  for (const char* mark :
       {"\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c", "\u2028", "\u2029"})
    EXPECT_EQ(printable(mark), "?");
}

TEST(Printable, ReplacesEachByteThatIsNoUtf8) {
  EXPECT_EQ(printable("\x9b"), "?");            // CSI in an 8-bit terminal
  EXPECT_EQ(printable("\xc3"), "?");            // cut
  EXPECT_EQ(printable("\xe2\x80"), "??");       // cut
  EXPECT_EQ(printable("\xc3(a"), "?(a");        // no continuation
  EXPECT_EQ(printable("\xc0\x9b"), "??");       // overlong
  EXPECT_EQ(printable("\xe0\x80\x9b"), "???");  // overlong
  EXPECT_EQ(printable("\xe0\x9f\xbf"), "???");  // overlong
  EXPECT_EQ(printable("\xf0\x80\x80\x9b"), "????");
  EXPECT_EQ(printable("\xed\xa0\x80"), "???");       // surrogate
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????");  // past the last code point
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "????");
  EXPECT_EQ(printable("\xff\xfe"), "??");
}

}  // namespace
}  // namespace wso::wsoctl
