// Keeps Back and Reload from sending a form a second time: they ask for the empty form instead.
"use strict";
history.replaceState(null, "", location.href);
