"""Looking at scenes in a browser: pictures drawn here at the browser's camera, splats and meshes drawn there."""
