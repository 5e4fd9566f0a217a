/* SPDX-License-Identifier: Apache-2.0 */
/* The version, as the build knows it. */
#include "narrow/narrow.h"

const char *nw_version(void)
{
    return NARROW_VERSION;
}
