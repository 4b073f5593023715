/* SPDX-License-Identifier: MIT
 *
 * self.c: the worker that this process is, and tasks that run in the calling thread.
 *
 * Nothing is shared, and nothing can fail.
 */
#include "pool/control/self.h"

#include "pool/control/control.h"
#include "pool/control/mine.h"
#include "pool/control/no_malloc.h"

struct weir__self weir__self;
_Thread_local struct weir__here weir__here;

bool weir__may_nest(void)
{
    return weir__self.incarnation > 0 && weir__self.control->program_pool != NULL &&
           weir__is_mine(weir__self.mine);
}
