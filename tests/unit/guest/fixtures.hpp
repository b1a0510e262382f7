// The domain whose script the tests of this layer look at.
#pragma once

#include <wso/guest/netconfig.hpp>

namespace wso::test {

inline guest::NetworkConfig sample_config() {
  return {"wso-3332a2", "52:54:00:d2:5c:3f", "192.168.100.229",
          24,           "192.168.100.1",     {"8.8.8.8", "8.8.4.4"}};
}

}  // namespace wso::test
