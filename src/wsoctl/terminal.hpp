// The terminal in raw mode, as a guest's console needs it, and as it was before on every way out.
#pragma once

namespace wso::wsoctl {

// At most one at a time.
class RawTerminal {
 public:
  // Every key goes to the reader as it is. Signals that end the program put the terminal back
  // first. Does nothing unless standard input is a terminal.
  RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal();

  [[nodiscard]] bool is_terminal() const { return is_terminal_; }

 private:
  bool is_terminal_ = false;
};

}  // namespace wso::wsoctl
