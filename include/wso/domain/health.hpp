// What a row of probes says about a domain. Pure: the probing itself is the server's.
#pragma once

#include <wso/domain.hpp>

namespace wso::domain {

// Throws Errc::invalid_argument, naming the field and its bounds.
void validate(const HealthCheck& health);

class Health {
 public:
  Health() = default;
  explicit Health(const HealthCheck& check);

  // The outcome of one probe. True if the state has changed by it.
  bool observe(bool success);

  [[nodiscard]] HealthState state() const { return state_; }
  [[nodiscard]] int n_failed() const { return n_failed_; }  // in a row

 private:
  HealthCheck check_;
  HealthState state_ = HealthState::none;
  int n_failed_ = 0;
  int n_succeeded_ = 0;  // in a row
};

}  // namespace wso::domain
