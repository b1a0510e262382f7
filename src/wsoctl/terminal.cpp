#include "terminal.hpp"

#include <array>
#include <csignal>

#include <termios.h>
#include <unistd.h>

#include <wso/base/error.hpp>

namespace wso::wsoctl {
namespace {

constexpr std::array ending_signals{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE};

// What a signal handler can reach.
termios before{};

void restore_and_end(int signal) {
  // Both may be called in a handler: signal-safety(7). SA_RESETHAND makes this one the end.
  ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
  ::raise(signal);
}

void on_ending_signals(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : ending_signals) {
    struct sigaction old {};
    ::sigaction(signal, nullptr, &old);
    // nohup(1) and the like stay in force.
    if (old.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);
  }
}

}  // namespace

RawTerminal::RawTerminal() : is_terminal_(::tcgetattr(STDIN_FILENO, &before) == 0) {
  if (!is_terminal_) return;
  on_ending_signals(restore_and_end);
  termios raw = before;
  ::cfmakeraw(&raw);
  if (::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) throw_errno("set the terminal to raw mode");
}

RawTerminal::~RawTerminal() {
  if (!is_terminal_) return;
  // What the guest printed last is still to be shown as it was meant.
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
  on_ending_signals(SIG_DFL);
}

}  // namespace wso::wsoctl
