// The second witness: what ip and nft say about the namespace, against what the code under test
// says.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include <wso/base/error.hpp>
#include <wso/base/json.hpp>

namespace wso::test {

// Runs a shell command in the namespace of the calling thread and returns what it printed. Throws
// if it fails.
std::string run(const std::string& command);
Json run_json(const std::string& command);

// Every link, address, route, rule, neighbour and firewall rule of the namespace, as text.
std::string namespace_state();

// A test that must leave its namespace exactly as it found it.
class NetnsTest : public ::testing::Test {
 protected:
  NetnsTest() : before_(namespace_state()) {}
  // Here and not in TearDown(): the members of the derived test are gone by now.
  ~NetnsTest() override { EXPECT_EQ(namespace_state(), before_); }

 private:
  std::string before_;
};

}  // namespace wso::test
