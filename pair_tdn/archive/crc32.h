// The checksum of zip files.
#pragma once

#include "errors.h"

#include <cstdint>
#include <string_view>

namespace tdn {

/// CRC-32 of ISO 3309, polynomial 0xEDB88320 reflected.
TDN_EXPORT uint32_t crc32(std::string_view bytes);

}    // namespace tdn
