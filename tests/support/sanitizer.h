/* SPDX-License-Identifier: MIT
 *
 * sanitizer.h: whether AddressSanitizer is in this build, as gcc and clang each tell.
 */
#ifndef TEST_SANITIZER_H
#define TEST_SANITIZER_H

#ifdef __SANITIZE_ADDRESS__
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

#endif
