// What makes a spec acceptable. Apart from the plan, so that who only reads records does not need
// OpenSSL.
#include <algorithm>

#include <wso/base/error.hpp>
#include <wso/domain/health.hpp>
#include <wso/domain/plan.hpp>
#include <wso/image/qcow2.hpp>

namespace wso::domain {
namespace {

constexpr std::size_t name_limit = 63;
constexpr int cpu_limit = 255;  // q35 without interrupt remapping
constexpr std::uint64_t min_memory_kib = 16 * 1024;
constexpr std::uint64_t max_memory_kib = 16ULL * 1024 * 1024 * 1024;

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

void check_range(std::string_view what, std::uint64_t value, std::uint64_t min, std::uint64_t max) {
  if (value < min || value > max)
    throw Error(Errc::invalid_argument, "{} is {}, and must be from {} to {}", what, value, min,
                max);
}

}  // namespace

void validate_domain_name(std::string_view domain_name) {
  const bool valid = !domain_name.empty() && domain_name.size() <= name_limit &&
                     is_alphanumeric(domain_name.front()) &&
                     std::all_of(domain_name.begin(), domain_name.end(), [](char c) {
                       return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
                     });
  if (!valid)
    throw Error(Errc::invalid_argument,
                "'{}' is no domain name: use 1 to {} letters, digits, '_', '.' and '-', the first "
                "of them a letter or digit",
                domain_name.substr(0, name_limit + 1), name_limit);
}

void validate(const DomainSpec& spec) {
  validate_domain_name(spec.domain_name);
  if (spec.n_cpus < 1 || spec.n_cpus > cpu_limit)
    throw Error(Errc::invalid_argument, "n_cpus is {}, and must be from 1 to {}", spec.n_cpus,
                cpu_limit);
  check_range("memory_kib", spec.memory_kib, min_memory_kib, max_memory_kib);
  check_range("disk_size_bytes", spec.disk_size_bytes, image::min_disk_bytes,
              image::max_disk_bytes);
  if (!spec.iso_path.empty() && !std::filesystem::path(spec.iso_path).is_absolute())
    throw Error(Errc::invalid_argument, "iso_path {} must be an absolute path", spec.iso_path);
  check_range("restart_limit", static_cast<std::uint64_t>(spec.restart_limit), 0, 1'000'000);
  validate(spec.health);
}

}  // namespace wso::domain
