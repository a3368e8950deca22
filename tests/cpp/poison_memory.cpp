// Fills every new block of memory with NaN; preloaded into a run. A number that is read before it
// is written then shows in the results, also where it is multiplied with a zero.

#include <malloc.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

// visible, to stand in for the calls of others
#pragma GCC visibility push(default)

extern "C" {

// glibc's own functions, under the names that stay when the public ones are replaced
void *__libc_malloc(size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static void *poisoned(void *memory)
{
  if (memory) std::memset(memory, 0xFF, malloc_usable_size(memory));
  return memory;
}

void *malloc(size_t size)
{
  return poisoned(__libc_malloc(size));
}

void *memalign(size_t alignment, size_t size)
{
  return poisoned(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
  return memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
  *memory = memalign(alignment, size);
  return *memory ? 0 : ENOMEM;
}

}    // extern "C"

#pragma GCC visibility pop
