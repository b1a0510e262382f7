// Text for people: aligned tables, and text of others made safe for a terminal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wso::wsoctl {

using Row = std::vector<std::string>;

// The text without what could drive a terminal or reorder its line: controls (C0, DEL, C1), bytes
// that are not UTF-8 and bidirectional marks become '?', line breaks and tabs become spaces.
std::string printable(std::string_view text);

// Left-aligned columns, two spaces apart, one line a row; cells are made printable, an empty one
// shows as "-". A row may be shorter than others.
std::string format_table(const std::vector<Row>& rows);

}  // namespace wso::wsoctl
