# What the application's extension packaging would do here needs the application.
