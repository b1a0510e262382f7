// The value types of <wso/domain.hpp> as JSON, exactly as docs and scripts see them. parse_* throw
// Errc::protocol and name the field.
#pragma once

#include <wso/base/json.hpp>
#include <wso/domain.hpp>

namespace wso::api {

Json to_json(const DomainSpec& spec);
Json to_json(const DomainState& state);
// The state's own fields, and "live": {"qemu_status", "n_vcpus", "drives", "network"} or "problem".
Json to_json(const DomainStatus& status);
// The state's own fields, and "changed".
Json to_json(const VerbResult& result);
Json to_json(const DomainCheck& check);
Json to_json(const NetworkState& network);

// Unknown fields are refused here: a misspelt option must not be ignored.
DomainSpec parse_domain_spec(const Json& json);
// Unknown fields are ignored in what a server of a later version may send.
DomainState parse_domain_state(const Json& json);
VerbResult parse_verb_result(const Json& json);
DomainStatus parse_domain_status(const Json& json);
DomainCheck parse_domain_check(const Json& json);
NetworkState parse_network_state(const Json& json);

}  // namespace wso::api
