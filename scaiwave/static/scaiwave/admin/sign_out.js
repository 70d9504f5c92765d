// Goes on to ScaiKey, which ends its own session. Without this script there is a button.
"use strict";
document.getElementById("scaikey-sign-out").submit();
