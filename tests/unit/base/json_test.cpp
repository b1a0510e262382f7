// JSON from outside: what is refused, and that every refusal names the field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <wso/base/json.hpp>

#include "scratch.hpp"

namespace wso {
namespace {

using test::failure_of_call;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::int64_t int64_max = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t int64_min = std::numeric_limits<std::int64_t>::min();

std::string nested(int levels) {
  return std::string(static_cast<std::size_t>(levels), '[') +
         std::string(static_cast<std::size_t>(levels), ']');
}

TEST(ParseJson, TakesJson) {
  for (const char* text : {"{}", "[]", "null", "1", "\"x\"", " {\"a\": [1, -2, 3.5, true]} \r"})
    EXPECT_NO_THROW(parse_json(text)) << text;
}

TEST(ParseJson, RefusesAllElse) {
  const std::vector<std::string> texts{"",
                                       " ",
                                       "{",
                                       "}",
                                       "[",
                                       "[1,]",
                                       "{\"a\"}",
                                       "{\"a\":}",
                                       "{\"a\":1,}",
                                       "{a:1}",
                                       "{'a':1}",
                                       "nul",
                                       "NaN",
                                       "Infinity",
                                       "+1",
                                       "01",
                                       "1.",
                                       ".5",
                                       "0x1",
                                       "1e999",
                                       "\"",
                                       "\"\\x\"",
                                       "\"\\u12\"",
                                       "\"\\ud800\"",
                                       "{} {}",
                                       "{}x",
                                       "// a comment",
                                       "{}//",
                                       "\xff",
                                       "\"\xff\"",
                                       "\"\xc3\"",
                                       "\"a\nb\"",
                                       std::string("\"\0\"", 3),
                                       std::string("{}\0", 3),
                                       std::string("{}\0x", 4),
                                       "GET / HTTP/1.1"};
  for (const auto& text : texts) EXPECT_THROW(parse_json(text), Error) << text;
}

TEST(ParseJson, RefusesAnyCutOfAnObject) {
  const std::string text = R"({"a": [1, {"b": "c\u00e9\n"}], "d": -1.5e3, "e": null})";
  ASSERT_NO_THROW(parse_json(text));
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_THROW(parse_json(text.substr(0, size)), Error) << size;
}

TEST(ParseJson, BoundsTheNesting) {
  EXPECT_NO_THROW(parse_json(nested(json_depth_limit)));
  for (const int levels : {json_depth_limit + 2, 1000, 1'000'000}) {
    const auto error = failure_of_call([&] { parse_json(nested(levels)); });
    EXPECT_EQ(error.code(), Errc::protocol);
    EXPECT_THAT(error.what(), HasSubstr("deeper"));
  }
  EXPECT_THROW(parse_json(std::string(1'000'000, '[')), Error);
  std::string objects;
  for (int level = 0; level < 100'000; ++level) objects += "{\"a\":";
  EXPECT_THROW(parse_json(objects), Error);
}

TEST(DumpJson, IsOneLineWhateverTheBytes) {
  const std::string dumped = dump_json({{"k", "a\r\nb\x1b\xff\xc3"}});
  EXPECT_EQ(dumped.find_first_of("\r\n\x1b\xff"), std::string::npos) << dumped;
  EXPECT_NO_THROW(parse_json(dumped));
}

TEST(ExpectObject, NamesTheStranger) {
  const Json value{{"name", "web"}, {"cpu", 1}};
  EXPECT_NO_THROW(expect_object(value, {"name", "cpu", "memory"}));
  EXPECT_NO_THROW(expect_object(Json::object(), {}));
  const auto error = failure_of_call([&] { expect_object(value, {"name"}); });
  EXPECT_EQ(error.code(), Errc::protocol);
  EXPECT_STREQ(error.what(), "'cpu' is not known");
  for (const char* text : {"[]", "null", "1", "\"x\"", "true"})
    EXPECT_THROW(expect_object(parse_json(text), {"name"}), Error) << text;
}

TEST(FindField, AbsentAndNullAreOne) {
  const Json value{{"a", nullptr}, {"b", false}};
  EXPECT_EQ(find_field(value, "a"), nullptr);
  EXPECT_EQ(find_field(value, "c"), nullptr);
  EXPECT_NE(find_field(value, "b"), nullptr);
  EXPECT_THROW(find_field(Json::array(), "a"), Error);
}

TEST(TextField, TakesStringsOnly) {
  const Json value{{"name", "web"}, {"cpus", 1}, {"list", {"a"}}, {"none", nullptr}};
  EXPECT_EQ(text_field(value, "name"), "web");
  EXPECT_EQ(optional_text(value, "absent"), std::nullopt);
  EXPECT_EQ(optional_text(value, "none"), std::nullopt);
  EXPECT_STREQ(failure_of_call([&] { text_field(value, "absent"); }).what(), "'absent' is missing");
  for (const char* key : {"cpus", "list"}) {
    const auto error = failure_of_call([&] { optional_text(value, key); });
    EXPECT_EQ(error.code(), Errc::protocol);
    EXPECT_THAT(error.what(), HasSubstr(key));
    EXPECT_THROW(text_field(value, key), Error);
  }
}

TEST(IntegerField, TakesWholeNumbersInRange) {
  const auto integer = [](const char* text, std::int64_t min, std::int64_t max) {
    return integer_field(parse_json(fmt::format(R"({{"n": {}}})", text)), "n", min, max);
  };
  EXPECT_EQ(integer("0", 0, 4), 0);
  EXPECT_EQ(integer("4", 0, 4), 4);
  EXPECT_EQ(integer("-5", -5, 4), -5);
  EXPECT_EQ(integer("9223372036854775807", 0, int64_max), int64_max);
  EXPECT_EQ(integer("-9223372036854775808", int64_min, int64_max), int64_min);
  for (const char* text : {"5", "-1", "1.0", "1.5", "1e0", "\"1\"", "true", "null", "[1]", "{}",
                           "9223372036854775808", "18446744073709551615", "18446744073709551616"})
    EXPECT_THROW(integer(text, 0, 4), Error) << text;
}

TEST(IntegerField, AHugeNumberDoesNotWrapIntoANegativeRange) {
  const Json value = parse_json(R"({"n": 18446744073709551615})");
  EXPECT_THROW(integer_field(value, "n", -10, -1), Error);
  EXPECT_THROW(integer_field(value, "n", int64_min, int64_max), Error);
  EXPECT_THROW(optional_integer(value, "n", -10, -1), Error);
}

TEST(IntegerField, OptionalOnesMayBeAbsentButNotWrong) {
  const Json value{{"n", 3}, {"none", nullptr}, {"text", "3"}};
  EXPECT_EQ(optional_integer(value, "n"), 3);
  EXPECT_EQ(optional_integer(value, "none"), std::nullopt);
  EXPECT_EQ(optional_integer(value, "absent"), std::nullopt);
  EXPECT_THROW(optional_integer(value, "text"), Error);
  EXPECT_THROW(optional_integer(value, "n", 4, 5), Error);
  EXPECT_THROW(integer_field(value, "none"), Error);
}

TEST(OptionalBool, TakesTrueAndFalseOnly) {
  const Json value{{"yes", true}, {"no", false}, {"one", 1}, {"text", "true"}, {"none", nullptr}};
  EXPECT_TRUE(optional_bool(value, "yes", false));
  EXPECT_FALSE(optional_bool(value, "no", true));
  EXPECT_TRUE(optional_bool(value, "absent", true));
  EXPECT_TRUE(optional_bool(value, "none", true));
  EXPECT_THROW(optional_bool(value, "one", false), Error);
  EXPECT_THROW(optional_bool(value, "text", false), Error);
}

TEST(OptionalTexts, TakesListsOfStringsOnly) {
  const Json value = parse_json(
      R"({"list": ["a", "b"], "empty": [], "mixed": ["a", 1], "hole": ["a", null], "text": "a",
          "object": {"a": "b"}})");
  EXPECT_THAT(optional_texts(value, "list"), ElementsAre("a", "b"));
  EXPECT_THAT(optional_texts(value, "empty"), IsEmpty());
  EXPECT_THAT(optional_texts(value, "absent"), IsEmpty());
  for (const char* key : {"mixed", "hole", "text", "object"})
    EXPECT_THROW(optional_texts(value, key), Error) << key;
}

}  // namespace
}  // namespace wso
