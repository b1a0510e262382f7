// The messages of the control socket: what is understood, and with which code and sentence the rest
// is refused.
#include <gtest/gtest.h>

#include <wso/api/rpc.hpp>

namespace wso::api {
namespace {

constexpr std::string_view good_request =
    R"({"jsonrpc":"2.0","id":7,"method":"domain.list","params":{"names":["web"]}})";

RequestError refusal(std::string_view line) {
  try {
    parse_request(line);
  } catch (const RequestError& error) {
    return error;
  }
  ADD_FAILURE() << "not refused: " << line.substr(0, 100);
  return {};
}

Error reply_error(std::string_view line, const Json& id = 7) {
  try {
    parse_reply(line, id);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "not refused: " << line.substr(0, 100);
  return {Errc::internal, "not refused"};
}

TEST(ParseRequest, ReadsAWholeRequest) {
  const Request request = parse_request(good_request);
  EXPECT_EQ(request.id, 7);
  EXPECT_EQ(request.method, "domain.list");
  EXPECT_EQ(request.params, (Json{{"names", {"web"}}}));
}

TEST(ParseRequest, TakesTextAndNegativeIds) {
  EXPECT_EQ(parse_request(R"({"jsonrpc":"2.0","id":"a","method":"m"})").id, "a");
  EXPECT_EQ(parse_request(R"({"jsonrpc":"2.0","id":-3,"method":"m"})").id, -3);
  EXPECT_EQ(parse_request(R"({"jsonrpc":"2.0","id":18446744073709551615,"method":"m"})").id,
            std::numeric_limits<std::uint64_t>::max());
}

TEST(ParseRequest, WithoutIdIsANotification) {
  EXPECT_TRUE(parse_request(R"({"jsonrpc":"2.0","method":"m"})").id.is_null());
}

TEST(ParseRequest, WithoutParamsHasNone) {
  for (const char* line : {R"({"jsonrpc":"2.0","id":1,"method":"m"})",
                           R"({"jsonrpc":"2.0","id":1,"method":"m","params":null})",
                           R"({"jsonrpc":"2.0","id":1,"method":"m","params":{}})"})
    EXPECT_EQ(parse_request(line).params, Json::object()) << line;
}

TEST(ParseRequest, RefusesWhatIsNoJson) {
  const std::string nul(R"({"jsonrpc":"2.0","id":1,"method":"m"})" + std::string(1, '\0'));
  for (const std::string& line :
       {std::string(), std::string(" "), std::string("hello"), std::string("{"), nul,
        std::string("GET / HTTP/1.1"), std::string("{\"id\":\"\xff\"}"),
        std::string("{\"id\":1e999}"), std::string("{}{}")}) {
    const RequestError error = refusal(line);
    EXPECT_EQ(error.code, parse_error) << line;
    EXPECT_TRUE(error.id.is_null()) << line;
  }
}

TEST(ParseRequest, RefusesEveryCutOfARequest) {
  for (std::size_t size = 0; size < good_request.size(); ++size)
    EXPECT_EQ(refusal(good_request.substr(0, size)).code, parse_error) << size;
}

TEST(ParseRequest, RefusesDepthBombs) {
  for (const char* opening : {"[", R"({"a":)"}) {
    std::string bomb;
    while (bomb.size() < message_limit) bomb += opening;
    EXPECT_EQ(refusal(bomb).code, parse_error) << opening;
  }
  const std::string deep = std::string(40, '[') + std::string(40, ']');
  EXPECT_EQ(refusal(R"({"jsonrpc":"2.0","id":1,"method":"m","params":{"a":)" + deep + "}}").code,
            parse_error);
}

TEST(ParseRequest, RefusesWhatIsNoSingleObject) {
  for (const char* line : {"[]", "1", "null", "true", "\"text\""})
    EXPECT_EQ(refusal(line).code, invalid_request) << line;
  const RequestError batch = refusal('[' + std::string(good_request) + ']');
  EXPECT_EQ(batch.code, invalid_request);
  EXPECT_NE(batch.sentence.find("batches are not served"), std::string::npos);
}

TEST(ParseRequest, RefusesIdsOfWrongTypeOrSize) {
  const std::string long_text = '"' + std::string(129, 'x') + '"';
  const std::string long_number = std::string(400, '9');
  for (const std::string& id :
       {std::string("null"), std::string("1.5"), std::string("1.0"), std::string("true"),
        std::string("[]"), std::string("{}"), std::string("18446744073709551616"), long_text}) {
    const RequestError error = refusal(R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"m"})");
    EXPECT_EQ(error.code, invalid_request) << id;
    EXPECT_TRUE(error.id.is_null()) << id;
    EXPECT_NE(error.sentence.find("'id'"), std::string::npos) << error.sentence;
  }
  EXPECT_EQ(refusal(R"({"jsonrpc":"2.0","id":)" + long_number + R"(,"method":"m"})").code,
            parse_error);
}

struct BadMember {
  const char* line;
  int code;
  const char* named;
};

class BadMemberTest : public testing::TestWithParam<BadMember> {};

TEST_P(BadMemberTest, IsNamedAndAnswersTheRequest) {
  const RequestError error = refusal(GetParam().line);
  EXPECT_EQ(error.code, GetParam().code);
  EXPECT_NE(error.sentence.find(GetParam().named), std::string::npos) << error.sentence;
  EXPECT_EQ(error.id, 7);
}

INSTANTIATE_TEST_SUITE_P(
    ParseRequest, BadMemberTest,
    testing::Values(
        BadMember{R"({"id":7,"method":"m"})", invalid_request, "'jsonrpc'"},
        BadMember{R"({"jsonrpc":"1.0","id":7,"method":"m"})", invalid_request, "'jsonrpc'"},
        BadMember{R"({"jsonrpc":2.0,"id":7,"method":"m"})", invalid_request, "'jsonrpc'"},
        BadMember{R"({"jsonrpc":"2.0","id":7})", invalid_request, "'method'"},
        BadMember{R"({"jsonrpc":"2.0","id":7,"method":""})", invalid_request, "'method'"},
        BadMember{R"({"jsonrpc":"2.0","id":7,"method":null})", invalid_request, "'method'"},
        BadMember{R"({"jsonrpc":"2.0","id":7,"method":["m"]})", invalid_request, "'method'"},
        BadMember{R"({"jsonrpc":"2.0","id":7,"method":"m","parms":{}})", invalid_request,
                  "'parms'"},
        BadMember{R"({"jsonrpc":"2.0","id":7,"method":"m","params":["web"]})", invalid_params,
                  "'params'"},
        BadMember{R"({"jsonrpc":"2.0","id":7,"method":"m","params":"web"})", invalid_params,
                  "'params'"},
        BadMember{R"({"jsonrpc":"2.0","id":7,"method":"m","params":0})", invalid_params,
                  "'params'"}));

TEST(ParseRequest, RefusesALongMethod) {
  const std::string line = R"({"jsonrpc":"2.0","id":7,"method":")" + std::string(129, 'm') + "\"}";
  EXPECT_EQ(refusal(line).code, invalid_request);
  EXPECT_LT(refusal(line).sentence.size(), 100U);
}

TEST(FormatRequest, IsReadBackEqual) {
  const Request request{7, "domain.list", {{"names", {"web\nserver"}}}};
  const std::string line = format_request(request);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(parse_request(line), request);
}

TEST(FormatRequest, ANotificationHasNoId) {
  const Request notification{nullptr, "m", Json::object()};
  EXPECT_EQ(format_request(notification).find("id"), std::string::npos);
  EXPECT_EQ(parse_request(format_request(notification)), notification);
}

TEST(FormatError, HoldsBothCodes) {
  EXPECT_EQ(format_error(7, Error(Errc::not_found, "there is no domain 'web'")),
            R"({"error":{"code":-32000,"data":{"code":"not_found"},)"
            R"("message":"there is no domain 'web'"},"id":7,"jsonrpc":"2.0"})"
            "\n");
  EXPECT_EQ(Json::parse(format_error(7, Error(Errc::invalid_argument, "x")))["error"]["code"],
            invalid_params);
}

TEST(FormatError, OfARequestErrorHoldsItsCode) {
  const auto word = [](int code) {
    const Json reply = Json::parse(format_error(RequestError{code, "sentence", "a"}));
    EXPECT_EQ(reply["error"]["code"], code);
    EXPECT_EQ(reply["error"]["message"], "sentence");
    EXPECT_EQ(reply["id"], "a");
    return reply["error"]["data"]["code"].get<std::string>();
  };
  EXPECT_EQ(word(parse_error), "protocol");
  EXPECT_EQ(word(invalid_request), "protocol");
  EXPECT_EQ(word(method_not_found), "not_found");
  EXPECT_EQ(word(invalid_params), "invalid_argument");
}

TEST(FormatError, StaysOneLineWhateverTheSentence) {
  const std::string line = format_error(7, Error(Errc::io, "a\nb\xff"));
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(reply_error(line).code(), Errc::io);
}

TEST(ParseReply, ReturnsTheResult) {
  EXPECT_EQ(parse_reply(format_result(7, {{"a", 1}}), 7), (Json{{"a", 1}}));
  EXPECT_EQ(parse_reply(format_result("x", nullptr), "x"), nullptr);
}

TEST(ParseReply, ThrowsTheErrorOfTheServer) {
  for (const Errc code : {Errc::not_found, Errc::busy, Errc::timeout, Errc::disconnected}) {
    const Error error = reply_error(format_error(7, Error(code, "a {{sentence}}")));
    EXPECT_EQ(error.code(), code);
    EXPECT_STREQ(error.what(), "a {sentence}");
  }
}

TEST(ParseReply, AnErrorWithoutIdIsOurs) {
  const Error error = reply_error(format_error(RequestError{parse_error, "no JSON", nullptr}));
  EXPECT_STREQ(error.what(), "no JSON");
}

TEST(ParseReply, AnErrorWithoutAKnownWordIsInternal) {
  for (const char* data : {"", R"(,"data":null)", R"(,"data":{})", R"(,"data":{"code":"new"})"}) {
    const std::string line = R"({"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"m")" +
                             std::string(data) + "}}";
    EXPECT_EQ(reply_error(line).code(), Errc::internal) << line;
  }
}

class BadReplyTest : public testing::TestWithParam<const char*> {};

TEST_P(BadReplyTest, IsAProtocolError) {
  const Error error = reply_error(GetParam());
  EXPECT_EQ(error.code(), Errc::protocol);
  EXPECT_TRUE(std::string_view(error.what()).starts_with("the answer cannot be understood: "))
      << error.what();
}

INSTANTIATE_TEST_SUITE_P(
    ParseReply, BadReplyTest,
    testing::Values(
        "", "hello", "[]", "7", "null", "{}", R"({"jsonrpc":"2.0","id":7})",
        R"({"id":7,"result":1})", R"({"jsonrpc":"1.0","id":7,"result":1})",
        R"({"jsonrpc":"2.0","result":1})", R"({"jsonrpc":"2.0","id":8,"result":1})",
        R"({"jsonrpc":"2.0","id":"7","result":1})", R"({"jsonrpc":"2.0","id":null,"result":1})",
        R"({"jsonrpc":"2.0","id":8,"error":{"code":-32000,"message":"m"}})",
        R"({"jsonrpc":"2.0","id":7,"result":1,"error":{"code":-32000,"message":"m"}})",
        R"({"jsonrpc":"2.0","id":7,"error":null})", R"({"jsonrpc":"2.0","id":7,"error":"m"})",
        R"({"jsonrpc":"2.0","id":7,"error":{}})",
        R"({"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":5}})",
        R"({"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"m","data":5}})",
        R"({"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"m","data":{"code":5}}})"));

}  // namespace
}  // namespace wso::api
