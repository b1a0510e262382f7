// QEMU's command line against golden files. WSO_REGENERATE=1 writes them anew; the diff is then to
// be read.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include <wso/domain/qemu_args.hpp>

#include "fixtures.hpp"

namespace wso::domain {
namespace {

void expect_golden(const std::string& name, const std::vector<std::string>& arguments) {
  std::string text;
  for (const auto& argument : arguments) text += argument + "\n";
  const std::string path = std::string(WSO_GOLDEN_DIR) + "/" + name;
  if (std::getenv("WSO_REGENERATE") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

DomainPlan sample() {
  DomainPlan plan = test::plan_for("wso-3332a2");
  plan.spec.n_cpus = 2;
  plan.spec.memory_kib = 262144;
  return plan;
}

TEST(QemuArgumentsTest, WithIso) {
  expect_golden("with_iso.args", qemu_arguments(sample(), "kvm", {10, 11, 12, 13, 14, 15}));
}

TEST(QemuArgumentsTest, WithoutIso) {
  expect_golden("without_iso.args", qemu_arguments(sample(), "tcg", {10, 11, 12, 13, -1, 15}));
}

TEST(QemuArgumentsTest, NoPathOfAUserIsInIt) {
  DomainPlan plan = sample();
  plan.spec.iso_path = "/tmp/evil,readonly=off.iso";
  for (const auto& argument : qemu_arguments(plan, "tcg", {10, 11, 12, 13, 14, 15}))
    EXPECT_EQ(argument.find("evil"), std::string::npos) << argument;
}

}  // namespace
}  // namespace wso::domain
