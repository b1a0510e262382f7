// QMP lines by value: the samples are QEMU 7.2's own words, then everything that is not QMP.
#include <array>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <wso/base/error.hpp>
#include <wso/qmp/codec.hpp>

namespace wso::qmp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view greeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, )"
    R"("capabilities": ["oob"]}})";
constexpr std::string_view reply =
    R"({"return": {"status": "prelaunch", "singlestep": false, "running": false}, "id": 2})";
constexpr std::string_view error_line =
    R"({"id": 3, "error": {"class": "CommandNotFound", "desc": "The command x has not been found"}})";
constexpr std::string_view event_line =
    R"({"timestamp": {"seconds": 1695043200, "microseconds": 12}, "event": "SHUTDOWN", )"
    R"("data": {"guest": false, "reason": "host-qmp-quit"}})";
constexpr std::array<std::string_view, 4> samples{greeting, reply, error_line, event_line};

Errc code_of(std::string_view line) {
  try {
    parse_message(line);
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "taken for a message: " << line;
  return Errc::internal;
}

std::vector<std::string> drain(LineDecoder& decoder) {
  std::vector<std::string> lines;
  while (auto line = decoder.next()) lines.push_back(*line);
  return lines;
}

TEST(ParseMessage, Greeting) { EXPECT_EQ(parse_message(greeting), Message(Greeting{"7.2.22"})); }

TEST(ParseMessage, Reply) {
  const Reply expected{2, {{"status", "prelaunch"}, {"singlestep", false}, {"running", false}}};
  EXPECT_EQ(parse_message(reply), Message(expected));
}

TEST(ParseMessage, AReplyMayBeAnyValue) {
  EXPECT_EQ(std::get<Reply>(parse_message(R"({"return": [], "id": 1})")).result, Json::array());
  EXPECT_EQ(std::get<Reply>(parse_message(R"({"return": "x", "id": 1})")).result, Json("x"));
  EXPECT_EQ(std::get<Reply>(parse_message(R"({"return": 0, "id": 1})")).result, Json(0));
}

TEST(ParseMessage, Refusal) {
  const Refusal expected{3, "CommandNotFound", "The command x has not been found"};
  EXPECT_EQ(parse_message(error_line), Message(expected));
}

TEST(ParseMessage, ARefusalOfWhatQemuCouldNotReadHasNoId) {
  const auto message =
      parse_message(R"({"error": {"class": "GenericError", "desc": "JSON parse error"}})");
  EXPECT_EQ(std::get<Refusal>(message).id, std::nullopt);
}

TEST(ParseMessage, Event) {
  const Event expected{"SHUTDOWN", {{"guest", false}, {"reason", "host-qmp-quit"}}, 1695043200, 12};
  EXPECT_EQ(parse_message(event_line), Message(expected));
}

TEST(ParseMessage, AnEventMayHaveNoDataAndAClockThatFailed) {
  const auto message =
      parse_message(R"({"event": "RESUME", "timestamp": {"seconds": -1, "microseconds": -1}})");
  const Event expected{"RESUME", Json::object(), -1, -1};
  EXPECT_EQ(message, Message(expected));
}

TEST(ParseMessage, UnknownMembersAreLetThrough) {
  EXPECT_NO_THROW(parse_message(R"({"return": {}, "id": 1, "later": {"x": 1}})"));
}

TEST(ParseMessage, NoPartOfASampleIsAMessage) {
  for (const auto sample : samples)
    for (std::size_t size = 0; size < sample.size(); ++size)
      EXPECT_EQ(code_of(sample.substr(0, size)), Errc::protocol);
}

TEST(ParseMessage, RefusesWhatIsNotOneOfTheFour) {
  for (const char* line :
       {"", " ", "x", "null", "1", "\"return\"", "[]", "{}", "[{\"return\": {}, \"id\": 1}]",
        R"({"id": 1})", R"({"execute": "quit", "id": 1})", R"({"return": null, "id": 1})",
        R"({"return": {}, "error": {"class": "a", "desc": "b"}, "id": 1})",
        R"({"return": {}, "event": "X", "timestamp": {"seconds": 1, "microseconds": 1}, "id": 1})",
        "SSH-2.0-OpenSSH_9.2", "HTTP/1.1 400 Bad Request", "\xff\xfe", "\x1b[2J"})
    EXPECT_EQ(code_of(line), Errc::protocol) << line;
}

TEST(ParseMessage, RefusesAWrongGreeting) {
  for (const char* line :
       {R"({"QMP": 1})", R"({"QMP": []})", R"({"QMP": {}})", R"({"QMP": {"version": {}}})",
        R"({"QMP": {"version": 7}})", R"({"QMP": {"version": {"qemu": "7.2.22"}}})",
        R"({"QMP": {"version": {"qemu": {"major": 7, "minor": 2}}}})",
        R"({"QMP": {"version": {"qemu": {"major": -7, "minor": 2, "micro": 0}}}})",
        R"({"QMP": {"version": {"qemu": {"major": "7", "minor": 2, "micro": 0}}}})"})
    EXPECT_EQ(code_of(line), Errc::protocol) << line;
}

TEST(ParseMessage, RefusesAWrongId) {
  for (const char* id : {"null", "\"1\"", "1.0", "-1", "[1]", "{}", "true", "9223372036854775808",
                         "18446744073709551616"})
    EXPECT_EQ(code_of(fmt::format(R"({{"return": {{}}, "id": {}}})", id)), Errc::protocol) << id;
  EXPECT_EQ(code_of(R"({"return": {}})"), Errc::protocol);
  EXPECT_EQ(code_of(R"({"error": {"class": "a", "desc": "b"}, "id": "1"})"), Errc::protocol);
}

TEST(ParseMessage, RefusesAWrongRefusal) {
  for (const char* line :
       {R"({"error": "x", "id": 1})", R"({"error": {}, "id": 1})",
        R"({"error": {"class": "a"}, "id": 1})", R"({"error": {"desc": "b"}, "id": 1})",
        R"({"error": {"class": 1, "desc": "b"}, "id": 1})",
        R"({"error": {"class": "a", "desc": ["b"]}, "id": 1})"})
    EXPECT_EQ(code_of(line), Errc::protocol) << line;
}

TEST(ParseMessage, RefusesAWrongEvent) {
  for (const char* line :
       {R"({"event": "X"})", R"({"event": "X", "timestamp": 1})",
        R"({"event": "X", "timestamp": {"seconds": 1}})",
        R"({"event": "X", "timestamp": {"seconds": -2, "microseconds": 1}})",
        R"({"event": "X", "timestamp": {"seconds": "1", "microseconds": 1}})",
        R"({"event": 1, "timestamp": {"seconds": 1, "microseconds": 1}})",
        R"({"event": "X", "data": [], "timestamp": {"seconds": 1, "microseconds": 1}})",
        R"({"event": "X", "data": "d", "timestamp": {"seconds": 1, "microseconds": 1}})"})
    EXPECT_EQ(code_of(line), Errc::protocol) << line;
}

TEST(ParseMessage, RefusesDepthWithoutRecursing) {
  constexpr std::size_t levels = 1'000'000;
  EXPECT_EQ(code_of(R"({"id": 1, "return": )" + std::string(levels, '[')), Errc::protocol);
  EXPECT_EQ(code_of(R"({"id": 1, "return": )" + std::string(levels, '[') +
                    std::string(levels, ']') + "}"),
            Errc::protocol);
}

TEST(ParseMessage, TakesAHugeReply) {
  const std::string text(1'000'000, 'x');
  const auto message = parse_message(R"({"id": 1, "return": ")" + text + "\"}");
  EXPECT_EQ(std::get<Reply>(message).result, Json(text));
}

TEST(ParseMessage, TheSentenceShowsALittleOfTheLineAndNothingThatMovesTheCursor) {
  try {
    parse_message("\x1b[2J\xff" + std::string(5000, 'y'));
    FAIL();
  } catch (const Error& error) {
    const std::string sentence = error.what();
    EXPECT_THAT(sentence, HasSubstr("not a QMP message"));
    EXPECT_THAT(sentence, HasSubstr("[2J"));
    EXPECT_EQ(sentence.find('\x1b'), std::string::npos);
    EXPECT_LT(sentence.size(), 400U);
  }
}

TEST(LineDecoder, GivesTheSameLinesWhereverTheStreamIsCut) {
  std::string stream;
  for (const auto sample : samples) stream += std::string(sample) + "\r\n";
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    LineDecoder decoder;
    decoder.append(stream.substr(0, cut));
    auto lines = drain(decoder);
    decoder.append(stream.substr(cut));
    for (auto& line : drain(decoder)) lines.push_back(std::move(line));
    EXPECT_THAT(lines, testing::ElementsAreArray(samples)) << "cut at " << cut;
  }
}

TEST(LineDecoder, GivesTheSameLinesByteByByte) {
  LineDecoder decoder;
  std::vector<std::string> lines;
  for (const char byte : std::string("one\r\n\n\r\ntwo\nthree\n")) {
    decoder.append({&byte, 1});
    for (auto& line : drain(decoder)) lines.push_back(std::move(line));
  }
  EXPECT_THAT(lines, ElementsAre("one", "two", "three"));
}

TEST(LineDecoder, SkipsEmptyLinesAndKeepsWhatIsUnfinished) {
  LineDecoder decoder;
  decoder.append("\n\r\n\n");
  EXPECT_THAT(drain(decoder), IsEmpty());
  decoder.append("a\rb\n\nun");
  EXPECT_THAT(drain(decoder), ElementsAre("a\rb"));
  decoder.append("finished");
  EXPECT_THAT(drain(decoder), IsEmpty());
  decoder.append("\n");
  EXPECT_THAT(drain(decoder), ElementsAre("unfinished"));
}

TEST(LineDecoder, KeepsNulAndHighBytes) {
  const std::string odd("a\0\xff", 3);
  LineDecoder decoder;
  decoder.append(odd + "\n");
  EXPECT_THAT(drain(decoder), ElementsAre(odd));
}

TEST(LineDecoder, TakesALineOfTheLimitExactly) {
  LineDecoder decoder(4);
  decoder.append("1234");
  EXPECT_THAT(drain(decoder), IsEmpty());
  decoder.append("\n567\r\n1234\n");
  EXPECT_THAT(drain(decoder), ElementsAre("1234", "567", "1234"));
}

TEST(LineDecoder, RefusesALongerOneWholeOrNot) {
  for (const char* bytes : {"12345", "12345\n", "1234\r\n", "1\n12345", "1\n12345\n2\n"}) {
    LineDecoder decoder(4);
    decoder.append(bytes);
    EXPECT_THROW(drain(decoder), Error) << bytes;
  }
}

TEST(LineDecoder, ManyShortLinesAndOneOfTheRealLimitTakeNoTime) {
  constexpr std::size_t chunk = 16 * 1024;
  const std::string stream = std::string(message_limit, 'x') + "\n";
  LineDecoder decoder;
  std::size_t lines = 0;
  for (std::size_t offset = 0; offset < stream.size(); offset += chunk) {
    decoder.append(std::string_view(stream).substr(offset, chunk));
    lines += drain(decoder).size();
  }
  for (int round = 0; round < 64; ++round) {
    std::string shorts;
    for (std::size_t line = 0; line < chunk / 2; ++line) shorts += "y\n";
    decoder.append(shorts);
    lines += drain(decoder).size();
  }
  EXPECT_EQ(lines, 1 + 64 * chunk / 2);
}

TEST(FormatCommand, IsOneLineThatCarriesItsId) {
  const std::string line = format_command("query-status", Json::object(), 7);
  EXPECT_EQ(line, "{\"execute\":\"query-status\",\"id\":7}\n");
}

TEST(FormatCommand, CarriesArgumentsWhateverTheyHold) {
  const Json arguments{{"id", "a\nb\"c\xff"}, {"force", true}};
  const std::string line = format_command("device_del", arguments, 8);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const Json sent = parse_json(line);
  EXPECT_EQ(sent.at("execute"), "device_del");
  EXPECT_EQ(sent.at("arguments").at("force"), true);
  EXPECT_EQ(sent.at("id"), 8);
}

}  // namespace
}  // namespace wso::qmp
