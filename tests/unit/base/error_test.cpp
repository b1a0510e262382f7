// The one error type: its words, its context, and what becomes of other people's exceptions.
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

#include <wso/base/error.hpp>

namespace wso {
namespace {

template <typename Exception>
Error converted(Exception exception) {
  return as_error(std::make_exception_ptr(std::move(exception)));
}

TEST(Error, EveryCodeHasAWordOfItsOwn) {
  for (int value = 0; value <= static_cast<int>(Errc::internal); ++value) {
    const auto code = static_cast<Errc>(value);
    EXPECT_EQ(parse_errc(name(code)), code) << name(code);
  }
}

TEST(Error, AnUnknownWordIsInternal) {
  for (const char* word : {"", "Timeout", "timeout ", "nonsense"})
    EXPECT_EQ(parse_errc(word), Errc::internal) << word;
}

TEST(Error, ContextStandsBeforeTheSentence) {
  const auto error = Error(Errc::kernel, "create {}", "virbr0").with_context("launch {}");
  EXPECT_EQ(error.code(), Errc::kernel);
  EXPECT_STREQ(error.what(), "launch {}: create virbr0");
}

TEST(Error, ErrnoChoosesTheCode) {
  const auto code_of = [](int number) {
    try {
      throw_errno("open /x", number);
    } catch (const Error& error) {
      return error.code();
    }
  };
  EXPECT_EQ(code_of(ENOENT), Errc::not_found);
  EXPECT_EQ(code_of(EEXIST), Errc::already_exists);
  EXPECT_EQ(code_of(EACCES), Errc::permission);
  EXPECT_EQ(code_of(EPERM), Errc::permission);
  EXPECT_EQ(code_of(ETIMEDOUT), Errc::timeout);
  EXPECT_EQ(code_of(ENOSPC), Errc::no_space);
  EXPECT_EQ(code_of(EDQUOT), Errc::no_space);
  EXPECT_EQ(code_of(EIO), Errc::io);
}

TEST(Error, ErrnoSentence) {
  try {
    throw_errno("open /x", ENOENT);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "open /x: No such file or directory");
  }
}

TEST(Error, OthersBecomeErrors) {
  using boost::system::system_error;
  EXPECT_EQ(converted(Error(Errc::busy, "x")).code(), Errc::busy);
  EXPECT_EQ(converted(system_error(boost::asio::error::operation_aborted)).code(), Errc::cancelled);
  EXPECT_EQ(converted(system_error(boost::asio::error::eof)).code(), Errc::io);
  EXPECT_STREQ(converted(std::runtime_error("{} braces")).what(), "{} braces");
  EXPECT_EQ(converted(std::bad_alloc()).code(), Errc::internal);
  EXPECT_STREQ(converted(7).what(), "unknown failure");
}

}  // namespace
}  // namespace wso
